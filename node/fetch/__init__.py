"""Earlier studies, asked of an archive (C-FIND) and sent here by it (C-MOVE), for rules that want one."""
