.PHONY: help demo test check bench soak study

help:
	@echo "make demo    install the core, then show the article's five steps on real data"
	@echo "make test    install all, then lint, types, import layers and tests"
	@echo "make check   lint, types and import layers alone"
	@echo "make bench   the benchmarks"
	@echo "make soak    kill runs two hundred times, and compare what they end with"
	@echo "make study   the reference study on real data: hours, and it goes on where it was stopped"

demo:
	scripts/install core
	scripts/demo

test:
	scripts/install dev
	scripts/test

check:
	scripts/install dev
	scripts/check

bench:
	scripts/install dev
	scripts/bench

soak:
	scripts/install dev
	scripts/soak

study:
	scripts/install dev
	scripts/study
