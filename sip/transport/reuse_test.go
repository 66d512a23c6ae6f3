package transport

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Conforms: RFC 5923 section 5; RFC 5923 section 8.2; RFC 5923 section 9.2
// A connection that the party opened carries our requests only when it asked for that, proved the identity that we would have asked for, and calls from the
// address that we would have dialled. In every other case we dial.
func TestConnectionReuse(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	server := ca.issue(t, nil, "edge.example")
	good := ca.issue(t, nil, "sip.carrier.example")
	for name, c := range map[string]struct {
		cert   *tls.Certificate
		param  string
		party  string
		to     netip.AddrPort
		roots  *x509.CertPool
		off    bool
		reused bool
	}{
		"all is well":                         {cert: good, param: ";alias", reused: true},
		"it did not ask":                      {cert: good},
		"the party does not want it":          {cert: good, param: ";alias", off: true},
		"it showed no certificate":            {param: ";alias"},
		"it proved another name":              {cert: ca.issue(t, nil, "sip.else.example"), param: ";alias"},
		"a name by wildcard":                  {cert: ca.issue(t, nil, "*.carrier.example"), param: ";alias"},
		"its roots are not those of the flow": {cert: good, param: ";alias", roots: other.pool},
		"the screen found another party":      {cert: good, param: ";alias", party: "someone"},
		"another port":                        {cert: good, param: ";alias", to: netip.AddrPortFrom(peerAddr, 5071)},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				withTLS(ca, use(server))(w)
				w.config.Reuse = func(string) bool { return !c.off }
				w.screen = func(Proto, netip.AddrPort, *PeerIdentity) Admission {
					p := "carrier"
					if c.party != "" {
						p = c.party
					}
					return Admission{Party: p, Look: Admitted}
				}
			}, func(w *world) {
				to := netip.AddrPortFrom(peerAddr, 5061)
				if c.to.IsValid() {
					to = c.to
				}
				ln, err := w.peer.ListenTCP(to)
				if err != nil {
					t.Fatal(err)
				}
				defer ln.Close()
				dialled := 0
				go func() {
					for {
						nc, err := ln.Accept()
						if err != nil {
							return
						}
						dialled++
						nc.Close()
					}
				}()
				conf := &tls.Config{ServerName: "edge.example", RootCAs: ca.pool}
				if c.cert != nil {
					conf.Certificates = []tls.Certificate{*c.cert}
				}
				tc := tls.Client(w.dialEdge(edgeTLS), conf)
				defer tc.Close()
				raw := strings.Replace(message("OPTIONS", 1, "", ""), "SIP/2.0/UDP peer.example.com:5062", "SIP/2.0/TLS peer.example.com:5061", 1)
				tc.Write([]byte(strings.Replace(raw, ";rport", ";rport"+c.param, 1)))
				w.settle()
				roots := ca.pool
				if c.roots != nil {
					roots = c.roots
				}
				f, err := w.l.Flow(w.dest(TLS, to, &TLSProfile{Name: "carrier", ServerName: "sip.carrier.example", Roots: fixed(roots)}))
				if err != nil {
					t.Fatal(err)
				}
				if (f.Peer() != nil) != c.reused {
					t.Errorf("the identity of the flow: %v", f.Peer())
				}
				_ = w.l.Send(f, []byte("BYE sip:x SIP/2.0\r\n\r\n"))
				w.settle()
				tc.SetReadDeadline(time.Now().Add(time.Second))
				b := make([]byte, 100)
				n, _ := tc.Read(b)
				if got := strings.HasPrefix(string(b[:n]), "BYE"); got != c.reused || (dialled == 0) != c.reused {
					t.Fatalf("over the connection: %v; dialled %d times", got, dialled)
				}
				if !c.reused {
					return
				}
				tc.Close()
				w.settle()
				told := false
				for _, x := range w.losses() {
					told = told || x.key == f.Key() && errors.Is(x.err, ErrGone)
				}
				if !told {
					t.Errorf("nobody was told that our flow ended with the connection: %v", w.losses())
				}
				if len(w.l.aliases) != 0 {
					t.Error("a connection that is gone still stands for the party")
				}
				_ = w.l.Send(f, []byte("BYE sip:x SIP/2.0\r\n\r\n"))
				time.Sleep(100 * time.Millisecond)
				synctest.Wait()
				if dialled != 1 {
					t.Errorf("dialled %d times after it ended", dialled)
				}
			})
		})
	}
}
