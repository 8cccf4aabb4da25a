# The tests' part of the Makefile.
.PHONY: test-unit
test-unit: $(UNIT)
	@for t in $(UNIT); do $$t || exit 1; done
