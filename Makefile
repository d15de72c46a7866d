# The verbs of the report; `make help` lists them. What is up to date is not made again, by content: PLAN=yes says what.
# environment.py does them, and without make, too: `python environment.py report PROFILE=quick`. NAME=value reaches it as a
# variable of the environment.
#   make report PROFILE=quick LANGS=id     another profile of notebooks/params/ (full is the default), one edition only
#   make report BASE_URL=https://example.org/report   with what search engines want to know: addresses, sitemap, robots.txt
#   make … PYTHON=python3.12               the Python that makes .venv;  VENV=… and BUILD=… put it and the book elsewhere
PYTHON ?= python3

.PHONY: help report test test-all lab sync notebooks book import assignment grade pdf docx serve pictures bench bench-sweep sweep sweep-tls clean distclean env
help report test test-all lab sync notebooks book import assignment grade pdf docx serve pictures bench bench-sweep sweep sweep-tls clean distclean env:
	@$(PYTHON) environment.py $@

.DEFAULT:  # a verb that there is not: it says which there are
	@$(PYTHON) environment.py $@
