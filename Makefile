# The verbs of the report; `make help` lists them. Real file targets: what is up to date is not made again.
#   make report PROFILE=quick     another profile of notebooks/params/ (full is the default)
#   make report LANGS=id          one edition only
#   make report BASE_URL=https://example.org/report   with what search engines want to know: addresses, sitemap, robots.txt
#   make … PYTHON=python3.12      the Python that makes .venv;  VENV=… and BUILD=… put it and the book elsewhere

PROFILE ?= full
LANGS   ?= id en
BUILD   ?= _build
PYTHON  ?= python3
JOBS    ?= 2
PORT    ?= 8000
SWEEP   ?= latent_dim
VENV    ?= .venv

MAKEFLAGS += --no-print-directory --jobs=$(JOBS)
.DELETE_ON_ERROR:
.SUFFIXES:
export VENV PYTHONPATH := $(CURDIR):$(CURDIR)/book$(if $(PYTHONPATH),:$(PYTHONPATH))

PROFILES := $(basename $(notdir $(wildcard notebooks/params/*.yml)))
ifeq ($(filter $(PROFILE),$(PROFILES)),)
$(error PROFILE: found '$(PROFILE)'; allowed are $(PROFILES) (the files in notebooks/params/))
endif
KNOWN_LANGS := $(notdir $(wildcard book/??))
ifneq ($(filter-out $(KNOWN_LANGS),$(LANGS)),)
$(error LANGS: found '$(LANGS)'; allowed are $(KNOWN_LANGS) (the folders in book/))
endif

# The environment is found, or made, once, when the first recipe needs it.
PY = $(eval PY := $$(shell VENV="$(VENV)" $(PYTHON) environment.py))$(or $(PY),$(error there is no environment to run in))

PARAMS  := notebooks/params/$(PROFILE).yml
RUN     := $(shell sed -n 's/^run: *//p' $(PARAMS))
DATASET := $(shell sed -n "s/^dataset: *['\"]*\([^'\"\# ]*\).*/\1/p" $(PARAMS))
IMAGES  := $(wildcard $(DATASET)/*-ubyte $(DATASET)/*-ubyte.gz)
SUBJECT := $(wildcard $(DATASET)/classes.yml)
PAGES   := $(shell sed -n 's/^ *- file: *//p' book/toc.yml)
NAMES   := $(foreach page,$(filter-out 09_sweep,$(PAGES)),$(if $(wildcard notebooks/en/$(page).ipynb),$(page)))
# A sweep that has finished under this profile has a page; SWEEPS= leaves them out.
SWEEPS  := $(foreach file,$(wildcard runs/sweeps/*/sweep.json),$(shell grep -q '"profile": "$(PROFILE)"' $(file) && \
  grep -q '"failed": {}' $(file) && basename $(dir $(file))))
LIB     := $(wildcard cae_lib/*.py book/report/*.py book/report/*/*.py book/explore/*.py)
TRAINER := $(addprefix cae_lib/,$(addsuffix .py,__main__ config data fetch files machine model run subject training))
PRINT   := $(addprefix book/,pdf.py paging.py print.css)
BOOK    := $(filter-out $(PRINT),$(shell find book -type f -not -path '*/__pycache__/*' -not -path 'book/pictures*' -not -name execute.py -not -name summary.py))
THREADS := $(shell n=$$(getconf _NPROCESSORS_ONLN); echo $$((n > $(JOBS) ? n / $(JOBS) : 1)))

executed = $(patsubst %,$(BUILD)/notebooks/$(1)/%.ipynb,$(NAMES) $(SWEEPS:%=09_sweep_%))
FINDINGS := $(foreach lang,$(LANGS),$(patsubst %,$(BUILD)/notebooks/$(lang)/%.ipynb,$(filter-out conclusion,$(NAMES))))

# What a language calls its report is in its catalogue: _build/pdf/laporan-id.pdf
pdf_of   = $(BUILD)/pdf/$(or $(shell sed -n '/^msgid "report"$$/{n;s/msgstr "\(.*\)"/\1/p;}' book/locale/$(1).po 2>/dev/null),report)-$(1).pdf
PDFS     := $(foreach lang,$(LANGS),$(call pdf_of,$(lang)))

.PHONY: help report test test-all lab sync notebooks book pdf serve pictures bench bench-sweep sweep clean distclean env FORCE
help:  ## these lines
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/  make \1\t\2/p' Makefile | expand -t 20
	@echo "PROFILE is one of: $(PROFILES). The two that do everything: make report, make test."

report: book  ## train, execute the notebooks, build the book in both languages (PROFILE=full)
	@$(PY) book/summary.py $(RUN) $(BUILD)/html/index.html

book: $(LANGS:%=$(BUILD)/html/%/.made)  ## the same as report, without the closing lines

pdf: $(PDFS)  ## print the report: _build/pdf/laporan-id.pdf and report-en.pdf, with the cover of book/cover.yml
	@$(PY) book/pdf.py $^

notebooks: $(foreach lang,$(LANGS),$(call executed,$(lang)))  ## train and execute the notebooks
	@echo "executed notebooks: $(LANGS:%=$(BUILD)/notebooks/%/)"

test:  ## the tests, with a smoke-sized report (minutes)
	$(PY) -m pytest -m "not slow" -n $(JOBS)

test-all:  ## the tests and the slow ones
	$(PY) -m pytest

lab:  ## open JupyterLab on the notebooks: notebooks/id, notebooks/en
	$(PY) -m jupyterlab --LabApp.default_url=/lab/tree/notebooks/$(firstword $(LANGS))

sync:  ## carry what was edited in one language's notebooks to the others (FROM=id); NEW=jv begins a language
	@$(PY) book/translations.py $(FROM:%=--from %) $(NEW:%=--new %)

serve: book  ## read the book at http://localhost:8000 (PORT=8000)
	@echo "the book is at http://localhost:$(PORT)/ until Ctrl-C"
	@$(PY) -m http.server --bind 127.0.0.1 --directory $(BUILD)/html $(PORT)

env:  ## make or find the environment only
	@echo "the environment: $(PY)"

pictures: notebooks  ## take the README's pictures from the executed notebooks
	@$(PY) book/pictures.py $(BUILD)/notebooks/$(lastword $(LANGS))

bench: env  ## measure the training beside the textbook loop (six minutes on a quiet machine)
	$(PY) benchmarks/training.py --out $(BUILD)/bench/training.json

sweep: env  ## run what is missing of a sweep, and the report with its page: SWEEP=latent_dim (SCHEDULER=tcp://host:8786)
	@$(PY) -m cae_lib sweep "$(SWEEP)" --profile $(PROFILE) $(SCHEDULER:%=--scheduler %) $(WORKERS:%=--workers %)
	@MAKEFLAGS=--no-print-directory $(MAKE) report PROFILE=$(PROFILE) LANGS="$(LANGS)" BUILD="$(BUILD)" JOBS=$(JOBS) BASE_URL="$(BASE_URL)"
	@echo "the sweep's page: $(LANGS:%=$(BUILD)/html/%/09_sweep_$(SWEEP).html)"

bench-sweep: env  ## measure the sweeps: two workers beside one, overhead, thousands of points, killed workers
	$(PY) benchmarks/sweep.py --out $(BUILD)/bench/sweep.json

clean:  ## delete the book and the executed notebooks; the trained runs stay
	rm -rf $(BUILD)

distclean: clean  ## delete everything made: runs/, data/ and .venv/ too
	rm -rf runs data .venv

# --- training: its own checks decide whether anything that matters has changed -------------------------------
$(RUN)/.trained: $(PARAMS) $(TRAINER) $(IMAGES)
	$(PY) -m cae_lib train --params $(PARAMS) --archive-stale
	@touch $@

# --- the notebooks, once per language; the second one reads what the first one computed ----------------------
said = @mkdir -p $(BUILD); [ -f $@ ] && [ "$$(cat $@ 2>/dev/null)" = "$(1)" ] || echo "$(1)" > $@
$(BUILD)/profile: FORCE
	$(call said,$(PROFILE))
$(BUILD)/langs: FORCE
	$(call said,$(LANGS) $(BASE_URL))
$(BUILD)/sweeps: FORCE
	$(call said,$(SWEEPS))

define notebook
$(BUILD)/notebooks/$(1)/$(2).ipynb: notebooks/$(1)/$(or $(4),$(2)).ipynb notebooks/claims.yml $(wildcard book/locale/en.po book/locale/$(1).po book/references.bib) $(RUN)/.trained $(LIB) $(SUBJECT) $(BUILD)/profile book/execute.py $(3)
	@OMP_NUM_THREADS=$(THREADS) $$(PY) book/execute.py $$< $$@ --params $(PARAMS) $(5)
endef
first = $(firstword $(LANGS))
$(foreach lang,$(LANGS),$(foreach name,$(filter-out conclusion,$(NAMES)),$(eval \
  $(call notebook,$(lang),$(name),$(if $(filter-out $(first),$(lang)),| $(BUILD)/notebooks/$(first)/$(name).ipynb)))))
$(foreach lang,$(LANGS),$(foreach name,$(SWEEPS),$(eval $(call notebook,$(lang),09_sweep_$(name),$(wildcard \
  runs/sweeps/$(name)/sweep.json runs/sweeps/$(name)/results.csv),09_sweep,--set sweep=runs/sweeps/$(name)))))
# Explore draws 03's t-SNE map, which takes longer to compute than all the rest of its page.
$(foreach lang,$(LANGS),$(eval \
  $(BUILD)/notebooks/$(lang)/explore.ipynb: | $(BUILD)/notebooks/$(lang)/03_latent_projection.ipynb))
# The conclusion reads what the others found; a notebook that finds the same again does not make it anew.
# It gives them over seeds too: this is what the run's seed replicas, which differ in the seed alone, have found.
$(BUILD)/seed_replicas: FORCE | $(RUN)/.trained
	$(call said,$(shell find $(dir $(RUN)) -maxdepth 4 -name config.json -not -path '$(RUN)/*' -not -path '*.stale-*' \
	  -exec sh -c 'diff -I "\"seed\":" $(RUN)/config.json "$$0" >&2 && cat "$${0%config.json}metrics.json"' {} \; \
	  2>/dev/null | sort | cksum))
$(foreach lang,$(LANGS),$(eval $(call notebook,$(lang),conclusion,$(RUN)/metrics.json $(BUILD)/seed_replicas | $(FINDINGS))))
$(RUN)/metrics.json: $(FINDINGS)
	@:

# --- the editions ----------------------------------------------------------------------------------------------
define edition
$(BUILD)/html/$(1)/.made: $(call executed,$(1)) $(BOOK) $(LIB) $(SUBJECT) $(BUILD)/langs $(BUILD)/sweeps
	@$$(PY) book/build.py $(1) --notebooks $(BUILD)/notebooks --run $(RUN) --out $(BUILD) --langs $(LANGS) --sweeps $(SWEEPS) \
	  $(if $(BASE_URL),--base-url "$(BASE_URL)")
	@touch $$@
endef
$(foreach lang,$(LANGS),$(eval $(call edition,$(lang))))

# --- and on paper ------------------------------------------------------------------------------------------------
define printed
$(call pdf_of,$(1)): $(BUILD)/html/$(1)/.made $(PRINT)
	@$$(PY) book/pdf.py --lang $(1) --html $(BUILD)/html/$(1) $$@
endef
$(foreach lang,$(LANGS),$(eval $(call printed,$(lang))))
