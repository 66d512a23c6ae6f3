//go:build interop

package interop

import (
	"testing"
)

// lab is the usual set-up: a carrier in Frankfurt, edge groups in Frankfurt, Zurich and Stockholm, all of them SIPp on loopback, and a node between them.
type lab struct {
	*node
	t         *testing.T
	transport string
	groups    []*sipp
	carrier   *sipp
}

var (
	groupNames = []string{"fra", "zrh", "sto"}
	groupHosts = []string{loop(10, 10), loop(20, 10), loop(30, 10)}
	carrierAt  = loop(1, 11)
)

// set builds a lab in which the groups play these scripts. prepare may change the world before the node boots; may be nil.
func set(t *testing.T, transport string, prepare func(*world), scripts ...string) *lab {
	t.Helper()
	return setWith(t, transport, quiet, prepare, scripts...)
}

// setWith is set with a carrier that gets calls, too.
func setWith(t *testing.T, transport, carrier string, prepare func(*world), scripts ...string) *lab {
	t.Helper()
	l := &lab{t: t, transport: transport}
	w := &world{dir: t.TempDir()}
	up := []string{"carrier"}
	for i, s := range scripts {
		g := answer(t, groupHosts[i], s, options{transport: transport, echo: true})
		l.groups = append(l.groups, g)
		w.groups = append(w.groups, g.as(groupNames[i], transport))
		up = append(up, groupNames[i])
	}
	l.carrier = answer(t, carrierAt, carrier, options{transport: transport, echo: true})
	w.trunks = []party{l.carrier.as("carrier", transport)}
	if prepare != nil {
		prepare(w)
	}
	l.node = boot(t, w, up...)
	return l
}

// call places one call that must go as its script says.
func (l *lab) call(script string, args ...string) *sipp {
	l.t.Helper()
	return call(l.t, l.node, carrierAt, script, options{transport: l.transport}, args...)
}

// dial starts a call and returns at once.
func (l *lab) dial(script string, args ...string) *sipp {
	l.t.Helper()
	return dial(l.t, l.node, carrierAt, script, options{transport: l.transport}, args...)
}

// finish ends the peers and the node: the groups got so many INVITEs, and the log verifies.
func (l *lab) finish(invites ...int) {
	l.t.Helper()
	for i, n := range invites {
		l.groups[i].finish(n)
	}
	l.carrier.finish(0)
	l.stop()
}
