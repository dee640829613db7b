# Everything runs in .venv, which the first command sets up. `make lab` and `make test` are all that most people need.

BIN := .venv/bin
READY := .venv/.ready

.PHONY: setup lab test publish check doctor clean

setup: $(READY)

lab: $(READY)  ## make lab ARGS="--no-browser --port 8899"
	@$(BIN)/unmasked lab $(ARGS)

# One run over everything; a notebook's cells stay together on one worker. Each worker has a thread of its own, and
# lesson 07 trains for seconds instead of minutes.
test: $(READY)
	OMP_NUM_THREADS=1 UNMASKED_BUDGET=test $(BIN)/pytest -q -n auto --maxprocesses 4 --dist loadfile --nbval --nbval-sanitize-with tests/nbval_sanitize.cfg tests solutions $(ARGS)

publish: $(READY)  ## make publish ARGS="02 03"
	@$(BIN)/unmasked publish $(ARGS)

check: $(READY)
	$(BIN)/ruff check
	$(BIN)/unmasked publish --check

doctor: $(READY)
	@$(BIN)/unmasked doctor

clean:
	rm -rf .venv build lib/*.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	@test -x $(BIN)/pip || $(MAKE_VENV)
	$(BIN)/pip install -c constraints.txt -e '.[test]'
	@touch $@

# With the newest suitable Python on the PATH; one that is there only by name doesn't count.
define MAKE_VENV
{ for python in python3.13 python3.12 python3.11 python3; do \
	"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
		&& exec "$$python" -m venv .venv; \
done; \
echo "Unmasked needs Python 3.11, 3.12 or 3.13, and there is none on the PATH: install one, then run make again." >&2; \
exit 1; }
endef
