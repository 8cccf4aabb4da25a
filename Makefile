# Sluice. `make help` lists what can be made.
#
# Everything is built below build/$(MODE); MODE is release (default), asan or tsan. A new source file
# is found by its place: lib/, proxy/, controller/ and ctl/ are programs, tests/unit and tests/prop
# hold one test program a file, tests/fuzz one fuzzer a file, tests/tools and tests/bench one tool a file.

MODE    ?= release
# CROSS=aarch64-linux-gnu- builds for another architecture (.ci/deps --cross arm64).
CROSS   ?=
B       := build/$(CROSS)$(MODE)
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
PKGS    := libevent libevent_pthreads libevent_openssl libwebsockets libcurl libcjson openssl libfyaml libnghttp2 libpcre2-8 libxxhash libxcrypt

WARN    := -Wall -Wextra -Wshadow -Wconversion -Wvla -Wstrict-prototypes -Wmissing-prototypes -Werror
# Programs are optimised as a whole (a tenth fewer instructions a request); tests link as they are.
CFLAGS_release := -O2 -D_FORTIFY_SOURCE=3 -flto -ffat-lto-objects -fno-plt
LTO_release    := -O2 -flto=auto -fno-fat-lto-objects
CFLAGS_asan    := -O1 -DSLUICE_DEBUG -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
CFLAGS_tsan    := -O1 -DSLUICE_DEBUG -fsanitize=thread -Wno-tsan -fno-omit-frame-pointer
LDFLAGS_asan   := -fsanitize=address,undefined
LDFLAGS_tsan   := -fsanitize=thread

comma   := ,
CC      := $(CROSS)gcc
AR      := $(CROSS)ar
PKG     := $(if $(CROSS),PKG_CONFIG_LIBDIR=/usr/lib/$(CROSS:%-=%)/pkgconfig:/usr/share/pkgconfig) pkg-config
# Left to itself gcc clears a stream with `rep stosq`, which begins slowly; libc has wide registers for it.
CFLAGS_release += $(if $(filter x86_64-%,$(shell $(CC) -dumpmachine)),-mmemset-strategy=unrolled_loop:64:noalign$(comma)libcall:-1:noalign)
DEFS    := -D_GNU_SOURCE -I.
CFLAGS  := -std=gnu11 -g $(CFLAGS_$(MODE)) -fPIE -fstack-protector-strong -fno-strict-aliasing \
           $(DEFS) $(shell $(PKG) --cflags $(PKGS) 2>/dev/null)
LDFLAGS := -pie -Wl,-z,relro,-z,now $(LDFLAGS_$(MODE))
LIBS    := $(shell $(PKG) --libs $(PKGS) 2>/dev/null) -lpthread -lm

objects  = $(patsubst %.c,$(B)/%.o,$(1))
find_c   = $(sort $(shell find $(1) -name '*.c' 2>/dev/null))

LIB_C        := $(call find_c,lib)
PROXY_C      := $(filter-out proxy/main.c,$(call find_c,proxy))
CONTROLLER_C := $(filter-out controller/main.c,$(call find_c,controller))
CTL_C        := $(filter-out ctl/main.c,$(call find_c,ctl))
ROOMS        := $(B)/libctl.a $(B)/libproxy.a $(B)/libcontroller.a $(B)/liblib.a

PROGRAMS := $(patsubst %,$(B)/%,$(if $(wildcard proxy/main.c),sluice-proxy) \
            $(if $(wildcard controller/main.c),sluice-controller) $(if $(wildcard ctl/main.c),sluicectl))
UNIT     := $(patsubst %.c,$(B)/%,$(wildcard tests/unit/*_test.c))
PROP     := $(patsubst %.c,$(B)/%,$(wildcard tests/prop/*_test.c))
TOOLS    := $(patsubst %.c,$(B)/%,$(wildcard tests/tools/*.c))
BENCH    := $(patsubst %.c,$(B)/%,$(wildcard tests/bench/*.c))

.PHONY: all
all: $(PROGRAMS)

include tests/tests.mk

$(B)/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "  CC  $<"
	@$(CC) $(CFLAGS) $(WARN) -MMD -MP -c -o $@ $<

# The version changes at every commit; only this object is rebuilt for it.
$(B)/version.txt: FORCE
	@mkdir -p $(@D)
	@echo '$(VERSION)' | cmp -s - $@ || echo '$(VERSION)' > $@
$(B)/version.o: $(B)/version.txt
	@echo 'extern const char sluice_version[]; const char sluice_version[] = "$(VERSION)";' | \
	  $(CC) $(CFLAGS) -x c -c -o $@ -
FORCE:

# The live page, built in: lib/ui.h.
UI := $(sort $(wildcard lib/ui/*.html lib/ui/*.js lib/ui/*.css)) docs/runbook.md
$(B)/ui_files.o: lib/ui/embed $(UI) lib/ui.h
	@mkdir -p $(@D)
	@lib/ui/embed $(UI) | $(CC) $(CFLAGS) -x c -c -o $@ -

$(B)/liblib.a: $(call objects,$(LIB_C)) $(B)/version.o $(B)/ui_files.o
$(B)/libproxy.a: $(call objects,$(PROXY_C))
$(B)/libcontroller.a: $(call objects,$(CONTROLLER_C))
$(B)/libctl.a: $(call objects,$(CTL_C))
$(B)/lib%.a:
	@mkdir -p $(@D)
	@rm -f $@ && $(AR) rcs $@ $^

$(B)/sluice-proxy: $(B)/proxy/main.o $(B)/libproxy.a $(B)/liblib.a
$(B)/sluice-controller: $(B)/controller/main.o $(B)/libcontroller.a $(B)/liblib.a
$(B)/sluicectl: $(B)/ctl/main.o $(ROOMS)
$(PROGRAMS):
	@echo "  LD  $@"
	@$(CC) $(CFLAGS) $(LTO_$(MODE)) $(LDFLAGS) -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(LIBS)

$(UNIT) $(PROP): $(B)/%: $(B)/%.o $(ROOMS)
	@echo "  LD  $@"
	@$(CC) -fno-lto $(LDFLAGS) -o $@ $< -Wl,--start-group $(filter %.a,$^) -Wl,--end-group -lcmocka $(LIBS)

$(TOOLS) $(BENCH): $(B)/%: $(B)/%.o $(ROOMS)
	@$(CC) -fno-lto $(LDFLAGS) -o $@ $< -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(LIBS)

.PRECIOUS: $(B)/%.o

.PHONY: deps run install help format clean
deps:
	@.ci/deps

run: deps
	@$(MAKE) --no-print-directory all $(B)/tests/tools/origin
	@examples/quickstart/run $(B)

# What `sluicectl` prints of itself lies where man and the shells look for it; the links are kubectl's plug-in.
PREFIX ?= /usr/local
D       = $(DESTDIR)$(PREFIX)
install: $(PROGRAMS)
	@install -d $(D)/bin $(D)/share/man/man1 $(D)/share/bash-completion/completions \
	  $(D)/share/zsh/site-functions $(D)/share/fish/vendor_completions.d
	@install $(PROGRAMS) $(D)/bin
	@ln -sf sluicectl $(D)/bin/kubectl-sluice
	@ln -sf sluicectl $(D)/bin/kubectl_complete-sluice
	@$(B)/sluicectl man >$(D)/share/man/man1/sluicectl.1
	@$(B)/sluicectl completion bash >$(D)/share/bash-completion/completions/sluicectl
	@$(B)/sluicectl completion zsh >$(D)/share/zsh/site-functions/_sluicectl
	@$(B)/sluicectl completion fish >$(D)/share/fish/vendor_completions.d/sluicectl.fish
	@echo 'installed below $(D)'

# Include paths go down only: see docs/architecture.md.
.PHONY: layers
layers:
	@tests/tools/layers

# Reference pages made from tables in the code.
.PHONY: docs
docs: $(B)/tests/tools/reference
	@tests/tools/docs $(B)

# The pages as a web site.
.PHONY: site
site:
	@tests/tools/site

# The CustomResourceDefinitions, from controller/kube/kinds.def.
.PHONY: crds
crds: $(B)/sluicectl
	@tests/tools/crds $(B)

# What is made from crds/ and the chart.
.PHONY: manifests
manifests:
	@tests/cluster/build
	@tests/tools/manifests

format:
	@find lib proxy controller ctl tests -name '*.[ch]' | xargs clang-format-14 -i

clean:
	rm -rf build

help:
	@echo 'make [MODE=asan|tsan]   the programs        make deps      missing Debian packages'
	@echo 'make run                the quickstart      make test      everything below'
	@echo 'make install [PREFIX=/usr/local] [DESTDIR=]   programs, manual page, completion, kubectl plug-in'
	@echo 'make test-unit test-prop test-golden test-vtc test-e2e test-budget test-chart test-kube test-cluster'
	@echo 'make asan tsan fuzz bench soak layers lint docs site crds manifests format clean'

-include $(shell find $(B) build/fuzz -name '*.d' 2>/dev/null)
