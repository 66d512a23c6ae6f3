package transport

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// authority signs certificates that are valid in the years of a bubble and today.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2090, 1, 1, 0, 0, 0, 0, time.UTC), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key, pool: x509.NewCertPool()}
	a.cert, _ = x509.ParseCertificate(der)
	a.pool.AddCert(a.cert)
	return a
}

// issue makes a leaf; change may alter its template.
func (a *authority) issue(t testing.TB, change func(*x509.Certificate), dns ...string) *tls.Certificate {
	t.Helper()
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	tpl := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: dns, NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(tpl)
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, _ := x509.ParseCertificate(der)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func use(c *tls.Certificate) func() *tls.Certificate { return func() *tls.Certificate { return c } }

func uris(raw ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		for _, r := range raw {
			u, err := url.Parse(r)
			if err != nil {
				panic(err)
			}
			c.URIs = append(c.URIs, u)
		}
	}
}

// carrierTLS is a TLS server of the peer that tells what it saw of each connection.
type carrierTLS struct {
	ln   net.Listener
	seen chan tls.ConnectionState
	errs chan error
}

func (w *world) carrierTLS(port uint16, c *tls.Config) *carrierTLS {
	w.t.Helper()
	ln, err := w.peer.ListenTCP(netip.AddrPortFrom(peerAddr, port))
	if err != nil {
		w.t.Fatal(err)
	}
	s := &carrierTLS{ln, make(chan tls.ConnectionState, 10), make(chan error, 10)}
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer nc.Close()
				tc := tls.Server(nc, c)
				if err := tc.Handshake(); err != nil {
					s.errs <- err
					return
				}
				s.seen <- tc.ConnectionState()
				b := make([]byte, 4096)
				for {
					n, err := tc.Read(b)
					if err != nil {
						return
					}
					tc.Write(b[:n])
				}
			}()
		}
	}()
	return s
}

// T4: the name of the trunk is sent and verified although the address is pinned, and our certificate is shown.
// Conforms: RFC 5922 section 4
func TestTLSPinnedAddress(t *testing.T) {
	ca := newAuthority(t)
	inWorld(t, nil, func(w *world) {
		cert := ca.issue(t, nil, "sip.carrier.example")
		s := w.carrierTLS(5061, &tls.Config{
			Certificates: []tls.Certificate{*cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool,
		})
		defer s.ln.Close()
		mine := ca.issue(t, nil, "edge.example")
		p := &TLSProfile{Name: "carrier", ServerName: "sip.carrier.example", Roots: fixed(ca.pool), Cert: use(mine)}
		f, err := w.l.Flow(w.dest(TLS, netip.AddrPortFrom(peerAddr, 5061), p))
		if err != nil {
			t.Fatal(err)
		}
		if f.Peer() != nil {
			t.Error("an identity before the handshake")
		}
		if err := w.l.Warm(w.t.Context(), f); err != nil {
			t.Fatal(err)
		}
		st := <-s.seen
		if st.ServerName != "sip.carrier.example" || len(st.PeerCertificates) != 1 || st.PeerCertificates[0].DNSNames[0] != "edge.example" {
			t.Errorf("the carrier saw SNI %q and %d certificates", st.ServerName, len(st.PeerCertificates))
		}
		id := f.Peer()
		sum := sha256.Sum256(cert.Leaf.RawSubjectPublicKeyInfo)
		if id == nil || !id.Verified || id.SPKI != hex.EncodeToString(sum[:]) || !slices.Equal(id.Names, []string{"sip.carrier.example"}) ||
			id.Version != "TLS 1.3" || id.Suite == "" {
			t.Errorf("identity %+v", id)
		}
		if f.Local() != edgeUDP {
			t.Errorf("without a TLS listener Via carries %v, want the UDP listener's", f.Local())
		}
	})
}

// Conforms: RFC 5922 section 7.3
func TestTLSVerification(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	name := "sip.carrier.example"
	expired := func(c *x509.Certificate) { c.NotAfter = c.NotBefore.Add(time.Hour) }
	clientOnly := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }
	domainOnly := func(c *x509.Certificate) {
		c.ExtKeyUsage, c.UnknownExtKeyUsage = nil, []asn1.ObjectIdentifier{sipDomain}
	}
	anyUse := func(c *x509.Certificate) { c.ExtKeyUsage = nil }
	address := func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 9)} }
	for _, tt := range []struct {
		what    string
		cert    *tls.Certificate
		profile TLSProfile
		ok      bool
	}{
		{"the name", ca.issue(t, nil, "other.example", name), TLSProfile{ServerName: name}, true},
		{"the name in other letters", ca.issue(t, nil, "SIP.Carrier.Example"), TLSProfile{ServerName: name}, true},
		{"another name", ca.issue(t, nil, "sip.evil.example"), TLSProfile{ServerName: name}, false},
		{"no name", ca.issue(t, nil), TLSProfile{ServerName: name}, false},
		{"another authority", other.issue(t, nil, name), TLSProfile{ServerName: name}, false},
		{"expired", ca.issue(t, expired, name), TLSProfile{ServerName: name}, false},
		{"a client's certificate", ca.issue(t, clientOnly, name), TLSProfile{ServerName: name}, false},
		{"a SIP domain's certificate", ca.issue(t, domainOnly, name), TLSProfile{ServerName: name}, true},
		{"a certificate for any use", ca.issue(t, anyUse, name), TLSProfile{ServerName: name}, true},
		{"the name as a sip URI", ca.issue(t, uris("sip:"+name)), TLSProfile{ServerName: name}, true},
		{"a sip URI of a person", ca.issue(t, uris("sip:bob@"+name)), TLSProfile{ServerName: name}, false},
		{"a sips URI", ca.issue(t, uris("sips:"+name)), TLSProfile{ServerName: name}, false},
		{"a sip URI beside another DNS name", ca.issue(t, uris("sip:"+name), "www.example"), TLSProfile{ServerName: name}, true},
		{"a wildcard", ca.issue(t, nil, "*.carrier.example"), TLSProfile{ServerName: name}, false},
		{"one of the peers", ca.issue(t, nil, "carrier.example"), TLSProfile{ServerName: name, Peers: []string{"a.example", "carrier.example"}}, true},
		{"not one of the peers", ca.issue(t, nil, name), TLSProfile{ServerName: name, Peers: []string{"a.example"}}, false},
		{"an address", ca.issue(t, address), TLSProfile{ServerName: "192.0.2.9"}, true},
		{"another address", ca.issue(t, address), TLSProfile{ServerName: "192.0.2.10"}, false},
	} {
		t.Run(tt.what, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				s := w.carrierTLS(5061, &tls.Config{Certificates: []tls.Certificate{*tt.cert}})
				defer s.ln.Close()
				tt.profile.Name, tt.profile.Roots = "p", fixed(ca.pool)
				f, err := w.l.Flow(w.dest(TLS, netip.AddrPortFrom(peerAddr, 5061), &tt.profile))
				if err != nil {
					t.Fatal(err)
				}
				err = w.l.Warm(w.t.Context(), f)
				if (err == nil) != tt.ok || err != nil && !errors.Is(err, ErrTLS) {
					t.Errorf("Warm: %v, want success %v", err, tt.ok)
				}
				if lost := w.losses(); !tt.ok && (len(lost) != 1 || !errors.Is(lost[0].err, ErrTLS)) {
					t.Errorf("lost %v", lost)
				}
			})
		})
	}
}

// A carrier that refuses our certificate does so after our side of the handshake; that is a TLS failure still.
// Conforms: RFC 8446 section 6.2
func TestTLSOurCertificateIsRefused(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	cert := ca.issue(t, nil, "c.example")
	for _, mine := range []*tls.Certificate{nil, other.issue(t, nil, "edge.example")} {
		inWorld(t, nil, func(w *world) {
			s := w.carrierTLS(5061, &tls.Config{Certificates: []tls.Certificate{*cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool})
			defer s.ln.Close()
			f, _ := w.l.Flow(w.dest(TLS, netip.AddrPortFrom(peerAddr, 5061), &TLSProfile{Name: "c", ServerName: "c.example", Roots: fixed(ca.pool), Cert: use(mine)}))
			if err := w.l.Send(f, []byte("OPTIONS")); err != nil {
				t.Fatal(err)
			}
			if lost := w.losses(); len(lost) != 1 || !errors.Is(lost[0].err, ErrTLS) {
				t.Errorf("lost %v", lost)
			}
		})
	}
}

// Conforms: RFC 8446 section 4.2.1
func TestTLSVersions(t *testing.T) {
	ca := newAuthority(t)
	cert := ca.issue(t, nil, "c.example")
	for _, tt := range []struct {
		server, min uint16
		ok          bool
	}{
		{tls.VersionTLS11, 0, false},
		{tls.VersionTLS11, tls.VersionTLS10, false}, // no profile lowers the floor
		{tls.VersionTLS12, 0, true},
		{tls.VersionTLS12, tls.VersionTLS13, false},
		{tls.VersionTLS13, tls.VersionTLS13, true},
	} {
		inWorld(t, nil, func(w *world) {
			s := w.carrierTLS(5061, &tls.Config{Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS10, MaxVersion: tt.server})
			defer s.ln.Close()
			f, _ := w.l.Flow(w.dest(TLS, netip.AddrPortFrom(peerAddr, 5061), &TLSProfile{Name: "c", ServerName: "c.example", Roots: fixed(ca.pool), MinVersion: tt.min}))
			if err := w.l.Warm(w.t.Context(), f); (err == nil) != tt.ok {
				t.Errorf("server up to %x, profile from %x: %v", tt.server, tt.min, err)
			}
		})
	}
}

// A peer that takes the connection and says nothing is given up within Connect, not within minutes.
func TestTLSSilentHandshake(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		ln, _ := w.peer.ListenTCP(netip.AddrPortFrom(peerAddr, 5061))
		defer ln.Close()
		f, _ := w.l.Flow(w.dest(TLS, netip.AddrPortFrom(peerAddr, 5061), &TLSProfile{Name: "c", ServerName: "c.example"}))
		begin := time.Now()
		if err := w.l.Warm(w.t.Context(), f); !errors.Is(err, ErrConnectTimeout) || time.Since(begin) > 1100*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		c, _ := ln.Accept()
		c.Close()
	})
}

// Two profiles never share a connection, and each handshake asks for the certificate anew.
func TestTLSPoolAndReload(t *testing.T) {
	ca := newAuthority(t)
	inWorld(t, nil, func(w *world) {
		cert := ca.issue(t, nil, "a.example", "b.example")
		s := w.carrierTLS(5061, &tls.Config{Certificates: []tls.Certificate{*cert}, ClientAuth: tls.RequireAnyClientCert})
		defer s.ln.Close()
		mine := ca.issue(t, nil, "first.example")
		profile := func(name string) *TLSProfile {
			return &TLSProfile{Name: name, ServerName: name + ".example", Roots: fixed(ca.pool), Cert: func() *tls.Certificate { return mine }}
		}
		warm := func(name string) {
			f, err := w.l.Flow(w.dest(TLS, netip.AddrPortFrom(peerAddr, 5061), profile(name)))
			if err != nil {
				t.Fatal(err)
			}
			if err := w.l.Warm(w.t.Context(), f); err != nil {
				t.Fatal(err)
			}
		}
		warm("a")
		warm("a")
		mine = ca.issue(t, nil, "second.example")
		warm("b")
		w.settle()
		close(s.seen)
		var seen []string
		for st := range s.seen {
			seen = append(seen, st.ServerName+" "+st.PeerCertificates[0].DNSNames[0])
		}
		if want := []string{"a.example first.example", "b.example second.example"}; !slices.Equal(seen, want) {
			t.Errorf("connections %q, want %q", seen, want)
		}
	})
}

// withTLS adds a TLS listener that asks for client certificates of ca.
func withTLS(ca *authority, cert func() *tls.Certificate) func(*world) {
	return func(w *world) {
		ln, err := w.edge.ListenTCP(edgeTLS)
		if err != nil {
			w.t.Fatal(err)
		}
		w.config.Listeners = append(w.config.Listeners, Listener{
			Proto: TLS, Stream: ln, TLS: &TLSProfile{Name: "server", Cert: cert}, ClientCAs: fixed(ca.pool),
		})
	}
}

// Conforms: RFC 5922 section 7.4
func TestTLSInbound(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	server := ca.issue(t, nil, "edge.example")
	clientOnlyServer := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }
	for _, tt := range []struct {
		what  string
		cert  *tls.Certificate
		names []string
		ok    bool
	}{
		{"no certificate", nil, nil, true},
		{"a good one", ca.issue(t, uris("sip:carrier.example"), "sbc.carrier.example"), []string{"sbc.carrier.example", "sip:carrier.example"}, true},
		{"one for servers", ca.issue(t, clientOnlyServer, "sbc.carrier.example"), []string{"sbc.carrier.example"}, true},
		{"one of another authority", other.issue(t, nil, "sbc.carrier.example"), nil, false},
	} {
		t.Run(tt.what, func(t *testing.T) {
			inWorld(t, withTLS(ca, use(server)), func(w *world) {
				var peers []*PeerIdentity
				w.screen = func(p Proto, _ netip.AddrPort, peer *PeerIdentity) Admission {
					peers = append(peers, peer)
					return Admission{Party: "carrier", Look: Admitted}
				}
				c := &tls.Config{ServerName: "edge.example", RootCAs: ca.pool}
				if tt.cert != nil {
					// Show it whatever authorities the server names.
					c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return tt.cert, nil }
				}
				raw := w.dialEdge(edgeTLS)
				tc := tls.Client(raw, c)
				defer tc.Close()
				tc.SetDeadline(time.Now().Add(5 * time.Second))
				tc.Write([]byte(message("OPTIONS", 1, "", "")))
				if !tt.ok {
					if n := len(w.got()); n != 0 {
						t.Errorf("%d messages came through", n)
					}
					return
				}
				in := w.one()
				if len(peers) != 2 || peers[0] != nil || peers[1] == nil || peers[1] != in.Flow.Peer() {
					t.Fatalf("the screen was asked with %v", peers)
				}
				id := in.Flow.Peer()
				if !slices.Equal(id.Names, tt.names) || id.Verified != (tt.cert != nil) || (id.SPKI != "") != (tt.cert != nil) {
					t.Errorf("identity %+v", id)
				}
				if err := w.l.Send(in.Flow, []byte("SIP/2.0 200 OK\r\n\r\n")); err != nil {
					t.Fatal(err)
				}
				b := make([]byte, 100)
				if n, err := tc.Read(b); string(b[:n]) != "SIP/2.0 200 OK\r\n\r\n" {
					t.Errorf("got %q: %v", b[:n], err)
				}
			})
		})
	}
}

// A source that the screen or the fence refuses gets not even a handshake.
func TestTLSStrangerGetsNoByte(t *testing.T) {
	ca := newAuthority(t)
	server := ca.issue(t, nil, "edge.example")
	for _, from := range []netip.Addr{strangeAddr, foreignAddr} {
		inWorld(t, withTLS(ca, use(server)), func(w *world) {
			w.peer = w.net.Host(from)
			p := w.dialEdge(edgeTLS)
			p.Write([]byte{22, 3, 1, 0, 1, 0})
			if got, closed := p.recv(); got != "" || !closed {
				t.Errorf("%s got %q, closed %v", from, got, closed)
			}
		})
	}
}

// A client that does not shake hands is closed in time.
func TestTLSInboundSilence(t *testing.T) {
	ca := newAuthority(t)
	inWorld(t, withTLS(ca, use(ca.issue(t, nil, "edge.example"))), func(w *world) {
		p := w.dialEdge(edgeTLS)
		time.Sleep(9 * time.Second)
		if _, closed := p.recv(); closed {
			t.Error("closed early")
		}
		time.Sleep(2 * time.Second)
		if _, closed := p.recv(); !closed {
			t.Error("a silent client is still there")
		}
		w.end()
		if w.l.total != 0 || len(w.l.inbound) != 0 {
			t.Errorf("%d connections are still counted", w.l.total)
		}
	})
}

// The server's certificate is asked for at each handshake; with none the handshake fails and nothing else does.
func TestTLSServerReload(t *testing.T) {
	ca := newAuthority(t)
	cert := ca.issue(t, nil, "first.example")
	inWorld(t, withTLS(ca, func() *tls.Certificate { return cert }), func(w *world) {
		names := func() string {
			tc := tls.Client(w.dialEdge(edgeTLS), &tls.Config{InsecureSkipVerify: true})
			defer tc.Close()
			if tc.Handshake() != nil {
				return ""
			}
			return tc.ConnectionState().PeerCertificates[0].DNSNames[0]
		}
		if got := names(); got != "first.example" {
			t.Errorf("got %q", got)
		}
		cert = ca.issue(t, nil, "second.example")
		if got := names(); got != "second.example" {
			t.Errorf("after the reload got %q", got)
		}
		cert = nil
		if got := names(); got != "" {
			t.Errorf("without a certificate got %q", got)
		}
		synctest.Wait()
	})
}

// fixed is a set of authorities that never changes.
func fixed(pool *x509.CertPool) func() *x509.CertPool { return func() *x509.CertPool { return pool } }
