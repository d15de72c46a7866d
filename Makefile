# The verbs of the report; `make help` lists them. What is up to date is not made again, by content: PLAN=yes says what.
#   make report PROFILE=quick LANGS=id     another profile of notebooks/params/ (full is the default), one edition only
#   make report BASE_URL=https://example.org/report   with what search engines want to know: addresses, sitemap, robots.txt
#   make … PYTHON=python3.12               the Python that makes .venv;  VENV=… and BUILD=… put it and the book elsewhere
PROFILE ?= full
LANGS   ?= id en
BUILD   ?= _build
PYTHON  ?= python3
JOBS    ?= 2
PORT    ?= 8000
SWEEP   ?= latent_dim
export VENV ?= .venv

# The environment is found, or made, by the first verb that needs it.
RUN    = @$(PYTHON) environment.py run
ASKED  = --profile "$(PROFILE)" --langs "$(LANGS)" --build "$(BUILD)" --jobs $(JOBS) \
  --base-url "$(BASE_URL)" --edition "$(EDITION)" --port "$(PORT)" $(PLAN:%=--plan) $(if $(filter undefined,$(origin SWEEPS)),,--sweeps "$(SWEEPS)")

.PHONY: help report test test-all lab sync notebooks book import pdf serve pictures bench bench-sweep sweep sweep-tls clean distclean env
help:  ## these lines
	@awk -F ':.*  ## ' '/^[a-z-]+:.*  ## /{printf "  make %-14s %s\n", $$1, $$2}' Makefile
	@echo "The two that do everything: make report, make test."

report:  ## train, execute the notebooks, build the book in both languages (PROFILE=full)
book:  ## the same as report, without the closing lines
notebooks:  ## train and execute the notebooks
pdf:  ## print the report: _build/pdf/laporan-id.pdf and report-en.pdf, with the cover of book/cover.yml (EDITION=id)
serve:  ## read the book at http://localhost:8000 (PORT=8000)
report book notebooks pdf serve:
	$(RUN) book/make.py $@ $(ASKED)

test:  ## the tests, with a smoke-sized report (minutes)
	$(RUN) -m pytest -m "not slow" -n $(JOBS)

test-all:  ## the tests and the slow ones
	$(RUN) -m pytest

lab:  ## open JupyterLab on the notebooks: notebooks/id, notebooks/en
	$(RUN) -m jupyterlab --LabApp.default_url=/lab/tree/notebooks/$(firstword $(LANGS)) $(if $(filter 0,$(shell id -u)),--allow-root)

import:  ## make a dataset and its profile of your own images: FROM=pictures NAME=mine (OPTIONS="--size 64")
	$(RUN) -m cae_lib import "$(FROM)" "data/$(NAME)" $(OPTIONS)

sync:  ## carry what was edited in one language's notebooks to the others (FROM=id); NEW=jv begins a language
	$(RUN) book/translations.py $(FROM:%=--from %) $(NEW:%=--new %)

pictures: notebooks  ## take the README's pictures from the executed notebooks
	$(RUN) book/pictures.py "$(BUILD)/notebooks/$(lastword $(LANGS))"

bench:  ## measure the training beside the textbook loop (six minutes on a quiet machine)
	$(RUN) benchmarks/training.py --out "$(BUILD)/bench/training.json"

sweep:  ## run what is missing of a sweep, then the report with its page (not with PAGE=no): SWEEP=latent_dim (SCHEDULER=tls://host:8786)
	$(RUN) -m cae_lib sweep "$(SWEEP)" --profile "$(PROFILE)" $(SCHEDULER:%=--scheduler %) $(WORKERS:%=--workers %)
	$(if $(filter no,$(PAGE)),,$(RUN) book/make.py report $(ASKED) && echo "the sweep's page: $(LANGS:%=$(BUILD)/html/%/10_sweep_$(SWEEP).html)")

sweep-tls:  ## make runs/sweep-tls.pem: the scheduler and workers that have it let in nobody else
	$(RUN) -m cae_lib sweep-tls

bench-sweep:  ## measure the sweeps: two workers beside one, overhead, thousands of points, killed workers
	$(RUN) benchmarks/sweep.py --out "$(BUILD)/bench/sweep.json"

env:  ## make or find the environment only
	@echo "the environment: $$($(PYTHON) environment.py)"

clean:  ## delete the book and the executed notebooks; the trained runs stay
	rm -rf "$(BUILD)"

distclean: clean  ## delete everything made: runs/, data/ and .venv/ too
	rm -rf runs data .venv .venv.making
