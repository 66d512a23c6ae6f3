package osnet

import (
	"fmt"
	"os"
	"testing"
)

// descriptors says what is open: the target of each descriptor by its number.
func descriptors(t testing.TB) map[string]string {
	t.Helper()
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		t.Fatal(err)
	}
	open := map[string]string{}
	own := fmt.Sprint(dir.Fd())
	for _, n := range names {
		if n == own {
			continue
		}
		open[n], _ = os.Readlink("/proc/self/fd/" + n) // which may be gone meanwhile
	}
	return open
}

// keepsNone fails when f leaves a descriptor open that was not before. The runtime of Go has opened all of its own once a socket was made.
func keepsNone(t *testing.T, f func()) {
	t.Helper()
	listen(t, loopbacks[0])
	before := descriptors(t)
	f()
	for n, what := range descriptors(t) {
		if old, was := before[n]; !was || old != what {
			t.Errorf("descriptor %s (%s) is left", n, what)
		}
	}
}

// copied gives a second descriptor of what fd is, as another process would get it.
func copied(t testing.TB, fd int) int {
	t.Helper()
	f, err := dup(fd)
	if err != nil {
		t.Fatal(err)
	}
	return f
}
