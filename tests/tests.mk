# The tests' part of the Makefile: what tests/run needs built, and the names to call it by.
#
#   make test            every floor, on release, asan, tsan and fuzz builds
#   make test-FLOOR      one floor; ONLY=text takes the tests whose name contains it

ONLY ?=
JOBS ?= $(shell nproc)
RUN   = tests/run --mode $(MODE) $(if $(ONLY),--only '$(ONLY)')

FUZZ     := $(patsubst tests/fuzz/%.c,build/fuzz/%,$(wildcard tests/fuzz/*.c))
FUZZ_C   := $(LIB_C) $(wildcard proxy/auth/*.c proxy/errand/*.c proxy/http/*.c proxy/limit/*.c proxy/net/*.c proxy/policy/*.c proxy/route/*.c proxy/session/*.c proxy/upstream/*.c controller/curl/*.c controller/fetch/*.c controller/kube/*.c ctl/import*.c) \
            controller/compile/editable.c ctl/doc.c ctl/kong.c ctl/read.c ctl/table.c
FUZZ_CC  := clang-14 -std=gnu11 -g -O1 -DSLUICE_DEBUG $(DEFS) -fno-omit-frame-pointer \
            -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all \
            -fno-sanitize=pointer-overflow # NULL + 0 is NULL

# Shared objects that are preloaded into a program under test.
PRELOAD := $(patsubst %.c,$(B)/%.so,$(wildcard tests/tools/preload/*.c))
$(PRELOAD): $(B)/%.so: %.c
	@mkdir -p $(@D)
	@$(CC) -std=gnu11 -O2 -g $(WARN) $(DEFS) -shared -fPIC -o $@ $<

GOLDEN := $(B)/tests/golden/golden
$(GOLDEN): $(B)/tests/golden/golden.o $(B)/libcontroller.a $(B)/liblib.a
	@echo "  LD  $@"
	@$(CC) $(LDFLAGS) -o $@ $< -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(LIBS)

.PHONY: test test-programs test-all-builds
# What the floors on one build mode run.
test-programs: all $(UNIT) $(PROP) $(TOOLS) $(PRELOAD) $(GOLDEN)

test-all-builds:
	@$(MAKE) --no-print-directory -j$(JOBS) MODE=release test-programs
	@$(MAKE) --no-print-directory -j$(JOBS) MODE=asan test-programs
	@$(MAKE) --no-print-directory -j$(JOBS) MODE=tsan test-programs
	@$(MAKE) --no-print-directory -j$(JOBS) fuzzers
	@$(MAKE) --no-print-directory before

# The version before this one, that tests/e2e/skew runs beside it.
.PHONY: before
before:
	@tests/tools/before > /dev/null || [ $$? = 77 ]

# The cluster's programs take the longest: they are built meanwhile, and their floors come last.
test: deps
	@tests/cluster/build --background
	@$(MAKE) --no-print-directory test-all-builds
	@tests/run all

.PHONY: test-unit test-prop test-golden test-vtc test-e2e test-desync test-budget
.PHONY: test-chart test-kube test-cluster
test-unit: $(UNIT)
	@$(RUN) unit
test-prop: $(PROP)
	@$(RUN) prop
test-golden: $(GOLDEN)
	@$(RUN) golden
test-e2e: before
test-vtc test-e2e test-desync test-budget test-chart test-kube test-cluster: all $(TOOLS) $(PRELOAD)
	@$(RUN) $(@:test-%=%)

# The floors that have a build mode of their own.
.PHONY: asan tsan fuzz fuzzers soak lint bench
asan tsan:
	@$(MAKE) --no-print-directory MODE=$@ test-programs
	@$(RUN) $@

fuzzers: $(FUZZ)
build/fuzz/%: tests/fuzz/%.c build/fuzz/libfuzzed.a
	@echo "  LD  $@"
	@$(FUZZ_CC) -fsanitize=fuzzer,address,undefined -o $@ $< build/fuzz/libfuzzed.a $(LIBS)
build/fuzz/libfuzzed.a: $(FUZZ_C:%.c=build/fuzz/%.o) $(B)/version.o $(B)/ui_files.o
	@rm -f $@ && ar rcs $@ $^
build/fuzz/%.o: %.c Makefile tests/tests.mk
	@mkdir -p $(@D)
	@echo "  CC  $< (fuzz)"
	@$(FUZZ_CC) -MMD -MP -c -o $@ $<
fuzz: fuzzers
	@$(RUN) fuzz

bench: all $(TOOLS) $(PRELOAD) $(BENCH)
	@tests/bench/compare
	@tests/bench/weights

lint:
	@tests/tools/lint

# The long forms of what `make test` runs for 30 seconds.
soak: fuzzers all $(TOOLS)
	@SLUICE_SOAK=1 tests/e2e/edit-latency
	@SLUICE_SOAK=1 tests/e2e/swap
	@SLUICE_SOAK=1 tests/e2e/tls-rotation
	@SLUICE_SOAK=1 tests/e2e/attacks
	@for t in memory idle propagation provision; do SLUICE_SOAK=1 tests/kube/$$t || exit 1; done
	@tests/bench/scale
	@SLUICE_FUZZ_SECONDS=1800 $(RUN) fuzz
	@for i in $$(seq 50); do $(RUN) e2e || exit 1; done
