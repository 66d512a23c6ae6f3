package main

import "syscall"

// huge asks for huge pages where b lies (MADV_HUGEPAGE of madvise(2)): the Go runtime does not, and Linux gives them, as most distributions set it up, only to who asks. A system
// without them refuses, and nothing changes.
func huge(b []byte) {
	if len(b) > 0 {
		_ = syscall.Madvise(b, syscall.MADV_HUGEPAGE)
	}
}
