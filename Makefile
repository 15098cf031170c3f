# sbuild: build, test and install. `make help` lists the targets.
#
# CONF chooses a configuration, each built in a directory of its own, build/$(CONF): release (default),
# debug, asan, tsan; clang, analyze, fuzz and cover are used by `make lint` and `make fuzz`. `make` links the
# program of the configuration it was asked for as build/sbuild.

CONF     ?= release
B        := build/$(CONF)
PREFIX   ?= /usr/local
V        ?= 0
# Where `make demo` builds its image, which `make check` tests.
DEMO_STORE ?= build/store

# One job a core unless -j says otherwise; `make clean all` goes in order.
ifeq ($(MAKELEVEL)$(filter clean,$(MAKECMDGOALS)),0)
MAKEFLAGS += -j$(shell nproc)
endif

ifeq ($(origin CC),default)
CC := $(if $(filter clang fuzz,$(CONF)),clang,gcc)
endif

# ---- flags ----

WARN := -Wall -Wextra -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wvla -Wformat=2 -Werror
CFLAGS_release := -O2 -g -D_FORTIFY_SOURCE=2 -fstack-protector-strong
CFLAGS_debug   := -DSB_ASSERTIONS -O0 -g3
CFLAGS_asan    := -DSB_ASSERTIONS -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
CFLAGS_tsan    := -DSB_ASSERTIONS -O1 -g -fsanitize=thread
CFLAGS_clang   := -O1
# gcc 12 takes a struct that is assigned as a whole through an array parameter for uninitialized.
CFLAGS_analyze := -O1 -fanalyzer -Wno-analyzer-use-of-uninitialized-value
CFLAGS_cover   := -DSB_ASSERTIONS -O0 -g --coverage
CFLAGS_fuzz    := -DSB_ASSERTIONS -O1 -g -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=all \
	-DREAD_SIZE=4096u
LDFLAGS_release := -Wl,-z,relro,-z,now
LDFLAGS_asan   := -fsanitize=address,undefined
LDFLAGS_tsan   := -fsanitize=thread
LDFLAGS_cover  := --coverage
LDFLAGS_fuzz   := -fsanitize=address,undefined
ifdef LTO
CFLAGS_$(CONF)  += -flto=auto
LDFLAGS_$(CONF) += -flto=auto -O2
endif

VERSION := $(shell cat VERSION)
COMPILE := $(CC) -I. -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DSB_VERSION=\"$(VERSION)\" \
	-DSB_INIT_FILE=\"$(B)/sbuild-init\" $(CPPFLAGS) \
	-std=c17 $(WARN) $(CFLAGS_$(CONF)) -fPIE -pthread $(CFLAGS)
LINK    := $(CC) $(LDFLAGS_$(CONF)) -pie -pthread $(LDFLAGS)

# Third parties are linked statically: a process that has nothing to do must not pay for loading
# libraries. docs/ARCHITECTURE.md says why each is here.
THIRD := -larchive -lbz2 -llzma -lzstd -lcrypto -lyaml -ljansson -ldeflate -lz -lseccomp
LIBS  := -Wl,-Bstatic $(THIRD) -Wl,-Bdynamic
# sbuild itself has the C library in it, too, where no sanitizer has to be before it: loading that is
# a fifth of the time to start. What the C library would load (name services, character sets) it
# leaves to programs (base/userdb.h), or has no use for: ci/static looks.
ifeq ($(CONF),release)
SBUILDLINK := $(CC) $(LDFLAGS_$(CONF)) -static-pie -pthread $(LDFLAGS)
SBUILDLIBS := $(THIRD)
else
SBUILDLINK := $(LINK)
SBUILDLIBS := $(LIBS)
endif

# sbuild-http is a program of its own, started only when a registry is asked, and linked with what
# the distribution keeps up to date: libcurl and the OpenSSL below it.
HTTPLIBS := -lcurl -Wl,-Bstatic -ljansson -Wl,-Bdynamic -lssl -lcrypto

# ---- files ----

ROOMS   := base layers registry document context sandbox steps builder deploy deploy/host deploy/node cli
SRC     := $(sort $(wildcard $(addsuffix /*.c,$(ROOMS) http init)))
HTTPSRC := $(filter-out http/main.c,$(filter http/%,$(SRC)))
LIBSRC  := $(filter-out cli/main.c http/% init/%,$(SRC))
TESTSRC := $(sort $(wildcard tests/unit/*.c))
FUZZSRC := $(sort $(wildcard tests/fuzz/fuzz_*.c))
BENCHSRC := $(sort $(wildcard tests/bench/*.c))
ALLSRC  := $(SRC) $(TESTSRC) $(FUZZSRC) $(BENCHSRC) $(wildcard tests/fuzz/replay.c)
ALLHDR  := $(sort $(wildcard $(addsuffix /*.h,$(ROOMS) http) tests/unit/*.h tests/fuzz/*.h))
OBJ     := $(ALLSRC:%.c=$(B)/%.o)
LIB     := $(B)/libsbuild.a
HTTPLIB := $(B)/libsbuild-http.a
UNIT    := $(TESTSRC:%.c=$(B)/%)
FUZZ    := $(FUZZSRC:%.c=$(B)/%)
BENCH   := $(BENCHSRC:%.c=$(B)/%)

ifeq ($(V),0)
say = @printf '  %-6s %s\n' $(1) $(2);
else
say =
endif

.PHONY: all
all: $(B)/sbuild $(B)/sbuild-http compile_commands.json
	@[ "$$(readlink build/sbuild)" = $(CONF)/sbuild ] || ln -sfn $(CONF)/sbuild build/sbuild

$(B)/sbuild: $(B)/cli/main.o $(LIB) $(B)/flags
	$(call say,LINK,$@)$(SBUILDLINK) -o $@ $(filter %.o %.a,$^) $(SBUILDLIBS)

# With the C library outside, for tests that change what that does.
$(B)/tests/sbuild-shared: $(B)/cli/main.o $(LIB) $(B)/flags
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(LINK) -o $@ $(filter %.o %.a,$^) $(LIBS)

$(B)/sbuild-http: $(B)/http/main.o $(HTTPLIB) $(LIB) $(B)/flags
	$(call say,LINK,$@)$(LINK) -o $@ $(filter %.o %.a,$^) $(HTTPLIBS)

# The first process of containers and services: it runs in roots that may have no library, so it brings
# all that it needs, and no sanitizer. sbuild carries it along (base/initbytes.c).
INIT := $(CC) -I. -D_GNU_SOURCE -std=c17 $(WARN) -Os -fno-pie -static -s
$(B)/sbuild-init: init/main.c $(B)/flags
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(INIT) -o $@ $<
$(B)/base/initbytes.o: $(B)/sbuild-init

$(LIB): $(LIBSRC:%.c=$(B)/%.o) $(B)/files
	@rm -f $@
	@ar rcsP $@ $(filter %.o,$^)

$(HTTPLIB): $(HTTPSRC:%.c=$(B)/%.o) $(B)/files
	@rm -f $@
	@ar rcsP $@ $(filter %.o,$^)

$(B)/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)$(COMPILE) -MMD -MP -c -o $@ $<

# What a target was built with and from: other flags, or a file that came or went, build it anew.
.PHONY: FORCE
FORCE:
stamp = @mkdir -p $(@D); echo '$(1)' | cmp -s - $@ || echo '$(1)' >$@
$(B)/flags: FORCE
	$(call stamp,$(COMPILE) | $(LINK) $(LIBS) | $(SBUILDLINK) $(SBUILDLIBS) | $(INIT))
$(B)/files: FORCE
	$(call stamp,$(ALLSRC))
.PRECIOUS: $(B)/%.o

-include $(OBJ:.o=.d)

compile_commands.json: $(B)/flags $(B)/files ci/compile-commands
	@ci/compile-commands '$(COMPILE)' $(ALLSRC) >$@.new && mv $@.new $@

# ---- tests ----

$(B)/tests/unit/http_%: $(B)/tests/unit/http_%.o $(HTTPLIB) $(LIB) $(B)/flags
	$(call say,LINK,$@)$(LINK) -o $@ $(filter %.o %.a,$^) $(HTTPLIBS)

# As sbuild is.
$(B)/tests/unit/%: $(B)/tests/unit/%.o $(LIB) $(B)/flags
	$(call say,LINK,$@)$(SBUILDLINK) -o $@ $(filter %.o %.a,$^) $(SBUILDLIBS)

$(B)/tests/bench/%: $(B)/tests/bench/%.o $(LIB) $(B)/flags
	$(call say,LINK,$@)$(LINK) -o $@ $(filter %.o %.a,$^) $(LIBS)

# In every configuration a fuzz target is a program that replays the files it is given; in
# CONF=fuzz it is a fuzzer, over libraries that ci/fuzz-deps compiled for that (where it could). A
# target that stands for the world outside (a server, a program) defines the function of a room
# that reaches it itself: the linker takes the first.
FUZZLINK := $(LINK) -Wl,-z,muldefs
ifeq ($(CONF),fuzz)
FUZZLINK += -fsanitize=fuzzer
FUZZDEPS := $(wildcard $(B)/deps/lib/*.a)
else
FUZZMAIN := $(B)/tests/fuzz/replay.o
endif
$(B)/tests/fuzz/fuzz_http_%: $(B)/tests/fuzz/fuzz_http_%.o $(FUZZMAIN) $(HTTPLIB) $(LIB) $(FUZZDEPS) $(B)/flags
	$(call say,LINK,$@)$(FUZZLINK) -o $@ $(filter %.o %.a,$^) $(HTTPLIBS)
$(B)/tests/fuzz/%: $(B)/tests/fuzz/%.o $(FUZZMAIN) $(LIB) $(FUZZDEPS) $(B)/flags
	$(call say,LINK,$@)$(FUZZLINK) -o $@ $(filter %.o %.a,$^) $(LIBS)

SUITE := SBUILD=$(CURDIR)/$(B)/sbuild SBUILD_HTTP=$(CURDIR)/$(B)/sbuild-http SB_BUILD=$(B) \
	SB_BACKEND_STORE=$(abspath $(DEMO_STORE))
# The programs of all tests, first and in parallel; the tests themselves run one after the other.
.PHONY: tests
tests: $(B)/sbuild $(B)/sbuild-http $(B)/tests/sbuild-shared $(UNIT) $(FUZZ)

.PHONY: unit golden e2e faults replay
unit: $(UNIT)
	@$(SUITE) tests/unit/run $(UNIT)
golden: $(B)/sbuild $(B)/sbuild-http
	@$(SUITE) tests/golden/run $(CASES)
e2e: $(B)/sbuild $(B)/sbuild-http $(B)/tests/sbuild-shared $(B)/tests/unit/remote
	@$(SUITE) tests/e2e/run $(CASES)
faults: $(B)/sbuild $(B)/sbuild-http
	@$(SUITE) tests/faults/run $(CASES)
replay: $(FUZZ)
	@$(SUITE) tests/fuzz/run $(FUZZ)

.PHONY: check
check: deps
	@$(MAKE) --no-print-directory peers all tests
	@$(SUITE) MAKE='$(MAKE)' tests/check unit replay golden faults e2e

# Where they can't be had, the tests that need them say so.
.PHONY: peers
peers:
	@[ "$$(id -u)" != 0 ] || ci/peers setup || :

.PHONY: asan tsan
asan:
	@$(MAKE) --no-print-directory CONF=asan tests
	@SBUILD=$(CURDIR)/build/asan/sbuild SB_BUILD=build/asan MAKE='$(MAKE) CONF=asan' \
		tests/check unit replay golden
tsan:
	@$(MAKE) --no-print-directory CONF=tsan tests
	@SBUILD=$(CURDIR)/build/tsan/sbuild SB_BUILD=build/tsan MAKE='$(MAKE) CONF=tsan' \
		tests/check unit golden threads

# Whole builds, pushes, pulls and traffic with a shared cache: where the threads are. A race ends the
# process that had it with a status that no test expects.
.PHONY: threads
threads: $(B)/sbuild $(B)/sbuild-http $(B)/tests/unit/remote
	@$(SUITE) SB_INSTRUMENTED=1 TSAN_OPTIONS=exitcode=66 \
		tests/e2e/run threads build concurrent cache cache-lies push push-ahead pull remote patience faults

FUZZ_SECONDS ?= 30
FUZZ_JOBS ?= 1
.PHONY: fuzz fuzz-coverage
fuzz:
	@ci/fuzz-deps build/fuzz/deps
	@$(MAKE) --no-print-directory CONF=fuzz fuzzers
	@FUZZ_SECONDS=$(FUZZ_SECONDS) FUZZ_JOBS=$(FUZZ_JOBS) \
		tests/fuzz/explore $(patsubst %,build/fuzz/tests/fuzz/fuzz_%,$(CASES)) $(if $(CASES),,$(FUZZSRC:%.c=build/fuzz/%))
fuzz-coverage:
	@$(MAKE) --no-print-directory CONF=cover fuzzers
	@tests/fuzz/coverage $(FUZZSRC:%.c=build/cover/%)
.PHONY: fuzzers
fuzzers: $(FUZZ)

# What takes too long for every change.
.PHONY: nightly
nightly: $(B)/sbuild $(B)/sbuild-http
	@$(SUITE) SB_E2E_LIMIT=3600 tests/e2e/run $(or $(CASES),$(patsubst tests/e2e/%.sh,%,$(wildcard tests/e2e/nightly-*.sh)))

.PHONY: bench
bench: $(B)/sbuild $(B)/sbuild-http $(BENCH)
	@$(SUITE) tests/bench/run $(CASES)

# Not in check: half an hour, and what it fetches is half a gigabyte.
.PHONY: gallery
gallery: $(B)/sbuild $(B)/sbuild-http
	@$(SUITE) sh tests/e2e/nightly-gallery.sh $(CASES)

# ---- lint ----

FORMATTED := $(ALLSRC) $(ALLHDR)
TIDY      := $(SRC:%.c=build/lint/%.tidy)
.PHONY: lint lint-format lint-rooms lint-static lint-objects lint-tidy objects
lint: lint-format lint-rooms lint-static lint-objects lint-tidy
	@echo 'lint: clean'
lint-format:
	@clang-format --dry-run -Werror $(FORMATTED)
lint-rooms:
	@ci/rooms $(CC)
lint-static: $(B)/cli/main.o $(LIB)
	@ci/static $^
# Both compilers without a warning, and gcc's analyzer.
lint-objects:
	@$(MAKE) --no-print-directory CONF=release objects
	@$(MAKE) --no-print-directory CONF=clang objects
	@$(MAKE) --no-print-directory CONF=analyze objects
objects: $(if $(filter analyze,$(CONF)),$(SRC:%.c=$(B)/%.o),$(OBJ))
# clang-tidy looks again only at what clang compiled again: the object knows the headers.
lint-tidy: lint-objects
	@$(MAKE) --no-print-directory CONF=clang tidy
.PHONY: tidy
tidy: $(TIDY)
build/lint/%.tidy: build/clang/%.o .clang-tidy
	@mkdir -p $(@D)
	$(call say,TIDY,$*.c)clang-tidy --quiet $*.c -- $(filter-out clang,$(COMPILE)) 2>$@.log || \
		{ cat $@.log; exit 1; }
	@touch $@

# ---- installing ----

.PHONY: deps
deps:
	@ci/deps build run test

.PHONY: demo
demo:
	@ci/deps build run
	@$(MAKE) --no-print-directory all
	build/sbuild recipes/backend.yaml --store $(DEMO_STORE)
	@sed 's|@STORE@|$(abspath $(DEMO_STORE))|' docs/after-demo.txt

BIN   := $(DESTDIR)$(PREFIX)/bin
SHARE := $(DESTDIR)$(PREFIX)/share
# Below /usr/local fish looks only where XDG_DATA_DIRS says so; what the administrator adds is found anywhere.
FISH  := $(if $(filter /usr/local,$(PREFIX)),$(DESTDIR)/etc/fish/completions,$(SHARE)/fish/vendor_completions.d)
.PHONY: install
install: $(B)/sbuild $(B)/sbuild-http
	install -D -m 755 $(B)/sbuild $(BIN)/sbuild
	install -D -m 755 $(B)/sbuild-http $(DESTDIR)$(PREFIX)/libexec/sbuild/sbuild-http
	install -D -m 644 docs/sbuild.1 $(SHARE)/man/man1/sbuild.1
	install -D -m 644 cli/completions/sbuild.bash $(SHARE)/bash-completion/completions/sbuild
	install -D -m 644 cli/completions/_sbuild $(SHARE)/zsh/site-functions/_sbuild
	install -D -m 644 cli/completions/sbuild.fish $(FISH)/sbuild.fish
	find recipes -type f ! -name '*.pyc' ! -perm -100 -exec install -D -m 644 {} $(SHARE)/sbuild/{} \;
	find recipes -type f -perm -100 -exec install -D -m 755 {} $(SHARE)/sbuild/{} \;

.PHONY: clean
clean:
	@# What a user's build unpacked belongs to subordinate ids.
	@! [ -x build/sbuild -a -d build/store ] || build/sbuild prune --max-size 0 --store build/store >/dev/null 2>&1 || :
	rm -rf build compile_commands.json

define HELP
make             the program, as build/sbuild
make demo        install what is missing (Debian, Ubuntu), compile, build recipes/backend.yaml
make check       install what is missing, compile, run all tests
make unit        tests/unit, one program each
make golden      tests/golden: commands and their output (CASES="a b"; UPDATE=1 records anew)
make e2e         tests/e2e: whole builds with real tools (CASES="a b")
make faults      tests/faults: what real use met, each with its smallest input (CASES="a b")
make replay      tests/fuzz/corpus through the fuzz targets
make asan, tsan  the tests under AddressSanitizer and UBSan, under ThreadSanitizer
make fuzz        run each fuzzer for FUZZ_SECONDS=30, FUZZ_JOBS=1 at a time (CASES="a b")
make fuzz-coverage  how many lines of each room the corpus reaches
make nightly     the tests that take too long for every change
make bench       measure the promises, beside other tools (CASES="a b")
make gallery     recipes/gallery beside its Dockerfiles, built by buildah (CASES="a b")
make lint        formatting, dependency rule, both compilers, analyzers
make install     to DESTDIR, PREFIX=/usr/local
make deps        install what building, running and testing need
make clean       remove build/

CONF=release|debug|asan|tsan   configuration    V=1   whole command lines    LTO=1   slower link
endef
.PHONY: help
help:
	$(info $(HELP))
	@:
