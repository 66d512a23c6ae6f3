package dtls

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// wire carries datagrams one way in a bubble of synctest: they are late, and some are lost, doubled or changed as chance has it.
type wire struct {
	mu      sync.Mutex
	chance  *rand.Rand
	lost    float64
	doubled float64
	broken  float64
	late    time.Duration // at most
	to      func([]byte)
	seen    [][]byte
}

func (w *wire) send(b []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, bytes.Clone(b))
	times := 1
	if w.chance.Float64() < w.doubled {
		times = 2
	}
	for range times {
		if w.chance.Float64() < w.lost {
			continue
		}
		c := bytes.Clone(b)
		if w.chance.Float64() < w.broken {
			c = c[:1+w.chance.IntN(len(c))]
			c[w.chance.IntN(len(c))] ^= byte(1 + w.chance.IntN(255))
		}
		time.AfterFunc(time.Millisecond+time.Duration(w.chance.Int64N(int64(w.late+1))), func() {
			w.mu.Lock()
			to := w.to
			w.mu.Unlock()
			to(c)
		})
	}
}

// count is how many datagrams went in.
func (w *wire) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.seen)
}

// result is what Done was told.
type result struct {
	keys Keys
	err  error
}

// pair is two handshakes on a wire of two ways.
type pair struct {
	client, server         *Handshake
	toServer, toClient     wire
	ofClient, ofServer     chan result
	clientCert, serverCert Certificate
}

func certificate(t testing.TB) Certificate {
	t.Helper()
	c, err := NewCertificate()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// newPair makes both configurations; change may have them otherwise.
func newPair(t testing.TB, seed uint64, change func(client, server *Config, p *pair)) *pair {
	t.Helper()
	p := &pair{ofClient: make(chan result, 2), ofServer: make(chan result, 2), clientCert: certificate(t), serverCert: certificate(t)}
	p.toServer.chance, p.toClient.chance = rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 2))
	client := Config{
		Role: Client, Certificate: p.clientCert, Peer: []Fingerprint{p.serverCert.Fingerprint()}, Send: p.toServer.send,
		Done: func(k Keys, err error) { p.ofClient <- result{k, err} },
	}
	server := Config{
		Role: Server, Certificate: p.serverCert, Peer: []Fingerprint{p.clientCert.Fingerprint()}, Send: p.toClient.send,
		Done: func(k Keys, err error) { p.ofServer <- result{k, err} },
	}
	if change != nil {
		change(&client, &server, p)
	}
	// Nothing goes over the wire before both ends are there.
	ready := make(chan struct{})
	p.toServer.to = func(b []byte) { <-ready; p.server.Feed(b) }
	p.toClient.to = func(b []byte) { <-ready; p.client.Feed(b) }
	var err error
	if p.server, err = Start(server); err != nil {
		t.Fatal(err)
	}
	if p.client, err = Start(client); err != nil {
		t.Fatal(err)
	}
	close(ready)
	return p
}

func (p *pair) close() {
	p.client.Close()
	p.server.Close()
}

// agree fails when the two did not get the same keys.
func agree(t testing.TB, client, server result) {
	t.Helper()
	if client.err != nil || server.err != nil {
		t.Fatalf("client: %v; server: %v", client.err, server.err)
	}
	c, s := client.keys, server.keys
	key, salt := c.Suite.Lengths()
	if key == 0 || c.Suite != s.Suite || len(c.Ours.Key) != key || len(c.Theirs.Salt) != salt {
		t.Fatalf("suites %v and %v, key of %d, salt of %d", c.Suite, s.Suite, len(c.Ours.Key), len(c.Theirs.Salt))
	}
	same := func(a, b Master) bool { return bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Salt, b.Salt) }
	if !same(c.Ours, s.Theirs) || !same(c.Theirs, s.Ours) || bytes.Equal(c.Ours.Key, c.Theirs.Key) || bytes.Equal(c.Ours.Salt, c.Theirs.Salt) {
		t.Fatal("the two have not the same keys, or one key for both directions")
	}
}
