//go:build interop

package interop

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// network is a set of regions, each a network namespace with the addresses 10.66.N.0/24, joined by a hub that routes and through whose interfaces rN everything
// passes. Nothing leads out of it.
type network struct {
	hub place
	in  map[int]place
}

var networks atomic.Int64

// connect makes the regions with these numbers. Everything is removed with the test.
func connect(t *testing.T, numbers ...int) *network {
	t.Helper()
	name := fmt.Sprintf("cordon-io-%d-%d-", os.Getpid(), networks.Add(1))
	w := &network{hub: addNamespace(t, name+"hub"), in: map[int]place{}}
	if err := w.hub.inside(func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644) }); err != nil {
		t.Fatal(err)
	}
	for _, n := range numbers {
		p := addNamespace(t, name+strconv.Itoa(n))
		w.in[n] = p
		router := fmt.Sprintf("10.66.%d.1", n)
		ip(t, "link", "add", fmt.Sprintf("r%d", n), "netns", w.hub.netns, "type", "veth", "peer", "name", "eth0", "netns", p.netns)
		ip(t, "-n", w.hub.netns, "addr", "add", router+"/24", "dev", fmt.Sprintf("r%d", n))
		ip(t, "-n", w.hub.netns, "link", "set", fmt.Sprintf("r%d", n), "up")
		ip(t, "-n", p.netns, "addr", "add", lan(n, 10)+"/24", "dev", "eth0")
		ip(t, "-n", p.netns, "link", "set", "eth0", "up")
		ip(t, "-n", p.netns, "route", "add", "default", "via", router)
	}
	return w
}

func addNamespace(t *testing.T, name string) place {
	t.Helper()
	ip(t, "netns", "add", name)
	t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "del", name).CombinedOutput(); err != nil {
			t.Errorf("ip netns del %s: %v: %s", name, err, out)
		}
	})
	ip(t, "-n", name, "link", "set", "lo", "up")
	return place{netns: name}
}

func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}
