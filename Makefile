# Each target first makes what it needs (.ci/env): nothing has to be set up by hand.
.PHONY: help demo test soak crash fuzz matrix viewer installs nightly bench check env lock runtime
.DEFAULT_GOAL := help
# so that the environment sees PYTHON=/path/to/python3.12 however it was given
export PYTHON
# The tests start hundreds of interpreters: without cached bytecode each of them compiles the whole node again.
unexport PYTHONDONTWRITEBYTECODE

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' Makefile | expand -t 12

demo: runtime ## a morning of eight studies, and one table of what came of each; PATHS="…" takes your own DICOM files; CONSOLE=1 leaves the console open
	@.venv/bin/pacsnode demo $(if $(CONSOLE),--console) $(PATHS)

# Four at a time on two cores: tests of the network wait for peers and deadlines most of the time.
test: env ## every test, four at a time; installs the Debian packages of the test peers where it may
	@.ci/peers
	@.ci/editor
	@.venv/bin/pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder

soak: env ## the fault tests at full length: what `make test` does 300 times, 10,000 times; every real file; 24,000 rules
	@.venv/bin/pytest tests/integration/receive tests/integration/reload tests/integration/dimse \
		tests/unit/results/test_odd_sources.py tests/unit/results/test_odd_images.py \
		tests/unit/rules/test_by_the_page.py tests/unit/rules/test_quality_control.py \
		tests/unit/plugins/test_example_mammography.py tests/peers/real_volumes.py \
		tests/integration/deliver/test_killed_recall.py --full-length \
		-k "figures or fault or real_file or in_each_form or by_the_page or finding_s2 or one_note_whatever"
	@.ci/peers
	@.venv/bin/pytest -m at_night --full-length --numprocesses 3 --dist worksteal

CRASHES ?= 1000

crash: env ## the crash matrix: CRASHES (1000) runs with kills, disk, clock and archive at odds; writes its table; some hours
	@rm -f build/crashes.jsonl && mkdir -p build
	@.venv/bin/pytest tests/acceptance/test_crashes.py --crashes=$(CRASHES) --crash-report=build/crashes.jsonl \
		--numprocesses 3 --dist worksteal
	@.venv/bin/python -m tests.support.faults.crash_table build/crashes.jsonl
	@.venv/bin/python -m tests.support.faults.fault_table

FUZZ_SECONDS ?= 600

fuzz: env ## malformed PDUs, commands and data sets against the receiver, for FUZZ_SECONDS (600)
	@.venv/bin/pytest tests/integration/receive/test_fuzz.py --fuzz-seconds=$(FUZZ_SECONDS)

matrix: env ## every result × image × character set under both validators, two at a time; about half an hour
	@.ci/peers
	@.venv/bin/pytest tests/peers/full_matrix.py --numprocesses 2 --dist worksteal \
		-o faulthandler_timeout=7200

viewer: env ## OHIF and the console in a browser, and the pictures of them in docs; SHORT=1 takes 5 minutes and only tests
	@.ci/viewer
	@.venv/bin/pytest tests/viewer/in_cornerstone.py tests/viewer/in_ohif.py tests/viewer/in_console.py $(if $(SHORT),,--full-length)

installs: env ## each way to install, from nothing: wheel, container image, booted machine, bundle, upgrades and back; as root
	@.ci/peers systemd-container debootstrap
	@.venv/bin/pytest tests/installs/from_a_wheel.py tests/installs/in_a_container.py tests/installs/in_a_boot.py \
		tests/installs/air_gap.py tests/installs/upgrades.py --full-length \
		-o faulthandler_timeout=7200

nightly: env ## soak, fuzz, matrix, viewer, installs and bench in full, one after the other, however each ends; some hours
	@.ci/nightly

check: env ## formatting, lint, types, who imports whom, and plain English
	@.ci/check

bench: env ## measure against dcmtk, Orthanc and pynetdicom, and write docs/performance.md; SHORT=1 takes minutes and only prints
	@.ci/peers
	@.venv/bin/python -m tests.benchmarks $(if $(SHORT),--short)

env: ## .venv with everything that development needs
	@.ci/env dev

runtime:
	@.ci/env runtime

LOCK = .venv/bin/uv pip compile pyproject.toml --quiet --universal --fork-strategy fewest \
	--generate-hashes --no-emit-index-url --no-header

lock: env ## write the lock files from pyproject.toml; pins that still fit stay
	@$(LOCK) --group build -o requirements.lock >/dev/null
	@$(LOCK) --group dev --extra onnx --extra bundle -c requirements.lock -o requirements-dev.lock >/dev/null
	@.ci/env dev
