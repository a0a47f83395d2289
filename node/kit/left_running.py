"""Processes that a program leaves running when it ends: they are ended with it, and its author should know.

A Python plugin's worker looks itself (`plugins.leftovers`). A program is looked after by a shell, in one run that is
made for this alone: a node starts it without.
"""

from __future__ import annotations

from dataclasses import replace

from node.run.catalogue import SitePlugin
from node.run.kinds.program import ProgramExecutor
from node.run.tags import VARIABLE
from plugins import exchange, leftovers

_LOOKS = rf"""
folder=$1; shift
"$@"
code=$?
read -r first </proc/1/comm
left=
for each in /proc/[0-9]*; do
    pid=${{each#/proc/}}
    case $pid in 1 | $$) continue ;; esac
    {{ read -r name <"$each/comm" && read -r stat <"$each/stat"; }} 2>/dev/null || continue
    case ${{stat##*) }} in [ZX]*) continue ;; esac
    if [ "$first" != bwrap ]; then
        grep -qzFx "{VARIABLE}=${{{VARIABLE}}}" "$each/environ" 2>/dev/null || continue
    fi
    left="$left${{left:+, }}$name"
done
[ -z "$left" ] || echo "{leftovers.NOTE}$left" >>"$folder/{exchange.OUT}/{exchange.LOG}"
exit $code
"""
"""Its arguments: the job's folder, the command. In a sandbox all other processes are the program's; else those that
carry the mark of the attempt."""


def looked_after(plugin: SitePlugin) -> SitePlugin | None:
    """The same plugin, whose log names what it leaves running; None where it needs no shell for that."""
    executor = plugin.executor
    if not isinstance(executor, ProgramExecutor):
        return None
    arguments = ("/bin/sh", "-c", _LOOKS, "sh", "{folder}", *executor.line.arguments)
    return replace(plugin, executor=replace(executor, line=replace(executor.line, arguments=arguments)))
