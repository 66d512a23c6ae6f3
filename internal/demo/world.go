// Package demo plays the main story of cordon on loopback: real sockets, real TLS, real SRTP, and a world of one carrier and five edge groups whose places are told
// apart by their loopback prefixes. Everything it claims it has observed: on the callers' side, at the far ends, and at every socket that cordon opened.
//
// It may see every room, like the hall.
package demo

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"text/template"
	"time"

	cordon "github.com/cordonsip/cordon"
	"github.com/cordonsip/cordon/internal/carrier"
	"github.com/cordonsip/cordon/internal/osnet"
	"github.com/cordonsip/cordon/sovereign"
)

// site is one edge group of the story.
type site struct {
	Name, Region, Country, City string
	Addr                        netip.Addr
	Port                        uint16
	Prefix                      netip.Prefix
	Peer                        *carrier.Peer
}

// The places, told apart by prefix: 127.N.0.0/16.
var cityPlan = []site{
	{Name: "fra", Region: "aws:eu-central-1", Country: "DE", City: "Frankfurt", Addr: netip.MustParseAddr("127.10.0.10")},
	{Name: "zrh", Region: "aws:eu-central-2", Country: "CH", City: "Zurich", Addr: netip.MustParseAddr("127.20.0.10")},
	{Name: "sto", Region: "aws:eu-north-1", Country: "SE", City: "Stockholm", Addr: netip.MustParseAddr("127.30.0.10")},
	{Name: "iad", Region: "aws:us-east-1", Country: "US", City: "Virginia", Addr: netip.MustParseAddr("127.40.0.10")},
	{Name: "dme", Region: "demo:moscow", Country: "RU", City: "Moscow", Addr: netip.MustParseAddr("127.50.0.10")},
}

var (
	carrierAddr = netip.MustParseAddr("127.1.0.10")
	edgeAddr    = netip.MustParseAddr("127.5.0.10")
)

//go:embed demo.yaml
var configText string

// person is somebody of the story, with a token.
type person struct{ ID, Role, Token string }

// world is everything around the node.
type world struct {
	dir     string
	ca      *carrier.CA
	sites   []site
	carrier *carrier.Peer
	people  []person
	wire    *wire
	cancel  context.CancelFunc
	wg      sync.WaitGroup
}

// newWorld starts the peers and writes the node's files into dir, with the scenario of a drill that does not ship among them.
func newWorld(ctx context.Context, dir string, d *Drill) (*world, error) {
	ca, err := carrier.NewCA()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &world{dir: dir, ca: ca, sites: append([]site(nil), cityPlan...), wire: newWire(osnet.Net{}), cancel: cancel}
	for i := range w.sites {
		s := &w.sites[i]
		if s.Peer, err = w.peer(ctx, s.Name, s.Addr); err != nil {
			w.close()
			return nil, fmt.Errorf("demo: %s: %w (the demo needs the whole of 127.0.0.0/8 on the loopback interface, as Linux has it)", s.City, err)
		}
		s.Port, s.Prefix = s.Peer.Addr().Port(), prefixOf(s.Addr)
	}
	if w.carrier, err = w.peer(ctx, "carrier", carrierAddr); err != nil {
		w.close()
		return nil, err
	}
	w.people = []person{{ID: "anna", Role: "incident_commander"}, {ID: "ben", Role: "business_owner"}, {ID: "clara", Role: "dpo"}, {ID: "ops", Role: "operator"}}
	if err := w.files(d); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *world) peer(ctx context.Context, name string, addr netip.Addr) (*carrier.Peer, error) {
	cert, err := w.ca.Issue(name+".demo.example", "client")
	if err != nil {
		return nil, err
	}
	p, err := carrier.New(carrier.Config{
		Name: name, Net: osnet.Net{}, Addr: netip.AddrPortFrom(addr, 0), Proto: "tls", MediaAddr: addr, SRTP: true, Domain: name + ".demo.example",
		ServerName: "edge.demo.example",
		TLS:        &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: w.ca.Pool(), ClientCAs: w.ca.Pool(), MinVersion: tls.VersionTLS12},
		Behaviour:  carrier.Behaviour{RingFor: 20 * time.Millisecond},
	})
	if err != nil {
		return nil, err
	}
	w.wg.Go(func() { _ = p.Run(ctx) }) // it ends with ctx and has nothing else to say
	return p, nil
}

func (w *world) close() {
	w.cancel()
	w.wg.Wait()
}

func prefixOf(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, 16).Masked() }

func (w *world) site(name string) *site {
	for i := range w.sites {
		if w.sites[i].Name == name {
			return &w.sites[i]
		}
	}
	return nil
}

// files writes certificates, tokens and the configuration: everything that an operator would have.
func (w *world) files(d *Drill) error {
	cert, err := w.ca.Issue("edge.demo.example", edgeAddr.String())
	if err != nil {
		return err
	}
	if err := writePEM(w.dir, "edge", cert); err != nil {
		return err
	}
	var roots bytes.Buffer
	if err := pem.Encode(&roots, &pem.Block{Type: "CERTIFICATE", Bytes: w.ca.Root().Raw}); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(w.dir, "roots.pem"), roots.Bytes(), 0o644); err != nil {
		return err
	}
	law, err := lawKey(w.dir)
	if err != nil {
		return err
	}
	for i := range w.people {
		raw := make([]byte, 16)
		if _, err := rand.Read(raw); err != nil {
			return err
		}
		w.people[i].Token = hex.EncodeToString(raw)
		if err := os.WriteFile(filepath.Join(w.dir, w.people[i].ID+".token"), []byte(w.people[i].Token+"\n"), 0o600); err != nil {
			return err
		}
	}
	own := d != nil && d.Text != nil
	if own {
		if err := os.Mkdir(filepath.Join(w.dir, "scenarios"), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(w.dir, "scenarios", "own.yaml"), d.Text, 0o600); err != nil {
			return err
		}
	}
	t, err := template.New("demo.yaml").Parse(configText)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	err = t.Execute(&text, map[string]any{
		"Edge": edgeAddr, "Carrier": w.carrier.Addr(), "Sites": w.sites, "People": w.people,
		"LawKey": base64.StdEncoding.EncodeToString(law), "Own": own,
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(w.dir, "cordon.yaml"), text.Bytes(), 0o644)
}

// lawKey writes the key that signs suspensions, as cordon law key does, and gives its public half.
func lawKey(dir string) (ed25519.PublicKey, error) {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pub, os.WriteFile(filepath.Join(dir, "law.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

func writePEM(dir, name string, cert tls.Certificate) error {
	key, ok := cert.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return errors.New("demo: the test authority issues ECDSA keys")
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	var chain bytes.Buffer
	for _, c := range cert.Certificate {
		if err := pem.Encode(&chain, &pem.Block{Type: "CERTIFICATE", Bytes: c}); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, name+".crt"), chain.Bytes(), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

// wire is the network of the node with a witness at every socket: each datagram and each dial is noted by where it goes.
type wire struct {
	under cordon.Net
	mu    sync.Mutex
	sent  []departure
	byIP  map[netip.Addr]int
}

// departure is one datagram, or one dial, to a watched place.
type departure struct {
	At time.Time
	To netip.AddrPort
}

func newWire(n cordon.Net) *wire { return &wire{under: n, byIP: map[netip.Addr]int{}} }

// note keeps times only for the places that need them: those that are not permitted by themselves.
func (w *wire) note(to netip.AddrPort) {
	a := to.Addr().Unmap()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.byIP[a]++
	if watched(a) {
		w.sent = append(w.sent, departure{time.Now(), to})
	}
}

// watched are Virginia and Moscow.
func watched(a netip.Addr) bool {
	return netip.MustParsePrefix("127.40.0.0/16").Contains(a) || netip.MustParsePrefix("127.50.0.0/16").Contains(a)
}

// to counts what left for a prefix, and since a moment for a watched one.
func (w *wire) to(p netip.Prefix) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for a, c := range w.byIP {
		if p.Contains(a) {
			n += c
		}
	}
	return n
}

// outside counts what left for a watched prefix while no grant was live.
func (w *wire) outside(p netip.Prefix, from, until time.Time) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, d := range w.sent {
		if p.Contains(d.To.Addr().Unmap()) && (from.IsZero() || d.At.Before(from) || d.At.After(until)) {
			n++
		}
	}
	return n
}

func (w *wire) ListenUDP(a netip.AddrPort) (sovereign.UDPConn, error) {
	c, err := w.under.ListenUDP(a)
	if err != nil {
		return nil, err
	}
	return &noted{c, w}, nil
}

func (w *wire) ListenTCP(a netip.AddrPort) (net.Listener, error) { return w.under.ListenTCP(a) }

func (w *wire) DialTCP(ctx context.Context, local netip.Addr, to netip.AddrPort) (net.Conn, error) {
	w.note(to)
	c, err := w.under.DialTCP(ctx, local, to)
	if err != nil {
		return nil, err
	}
	return &notedStream{c, w, to}, nil
}

// noted is a UDP socket with a witness.
type noted struct {
	sovereign.UDPConn
	w *wire
}

func (n *noted) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	n.w.note(to)
	return n.UDPConn.WriteToUDPAddrPort(b, to)
}

// ReadError hands on the ICMP errors of the socket below.
func (n *noted) ReadError() (netip.AddrPort, error, bool) {
	if q, ok := n.UDPConn.(sovereign.ErrQueue); ok {
		return q.ReadError()
	}
	return netip.AddrPort{}, nil, false
}

type notedStream struct {
	net.Conn
	w  *wire
	to netip.AddrPort
}

func (n *notedStream) Write(b []byte) (int, error) {
	n.w.note(n.to)
	return n.Conn.Write(b)
}
