package dtls

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/media/srtp"
)

func TestTwoHandshakesAgree(t *testing.T) {
	for _, s := range []srtp.Suite{srtp.AES256GCM, srtp.AES128GCM, srtp.AES128CM80, srtp.AES128CM32} {
		synctest.Test(t, func(t *testing.T) {
			p := newPair(t, 1, func(client, server *Config, _ *pair) { client.Suites, server.Suites = []srtp.Suite{s}, nil })
			defer p.close()
			c := <-p.ofClient
			agree(t, c, <-p.ofServer)
			if c.keys.Suite != s {
				t.Errorf("suite %v, not %v", c.keys.Suite, s)
			}
		})
	}
}

// The server has the last word, by its own order; a client's order counts for nothing, RFC 5764 section 4.1.1.
func TestTheServerChooses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, 1, func(client, server *Config, _ *pair) {
			client.Suites = []srtp.Suite{srtp.AES128CM32, srtp.AES128CM80, srtp.AES256GCM}
			server.Suites = []srtp.Suite{srtp.AES256CM80, srtp.AES128CM80, srtp.AES128CM32}
		})
		defer p.close()
		c := <-p.ofClient
		agree(t, c, <-p.ofServer)
		if c.keys.Suite != srtp.AES128CM80 {
			t.Errorf("suite %v", c.keys.Suite)
		}
	})
}

// With loss, doubles, wrong order and garbage either way the keys are the same, and no handshake takes longer than its peer's patience.
func TestLossyWire(t *testing.T) {
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) {
			p := newPair(t, seed, func(client, server *Config, p *pair) {
				for _, w := range []*wire{&p.toServer, &p.toClient} {
					w.lost, w.doubled, w.late = 0.2, 0.2, 200*time.Millisecond
				}
				server.Proven = seed%2 == 0
				client.Timeout, server.Timeout = 2*time.Minute, 2*time.Minute
			})
			defer p.close()
			c := <-p.ofClient
			s := <-p.ofServer
			if c.err != nil || s.err != nil {
				t.Fatalf("seed %d: client: %v; server: %v", seed, c.err, s.err)
			}
			agree(t, c, s)
		})
	}
}

// A client whose server's last message is lost sends its own again, and is answered long after the server is done.
func TestTheLastMessageIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, 1, nil)
		defer p.close()
		p.toClient.mu.Lock()
		forward := p.toClient.to
		p.toClient.to = func(b []byte) {
			if b[0] != changeCipherSpec { // the last flight begins with it
				forward(b)
			}
		}
		p.toClient.mu.Unlock()
		s := <-p.ofServer
		time.Sleep(5 * time.Second)
		if len(p.ofClient) > 0 {
			t.Fatal("the client is done without the last message")
		}
		p.toClient.mu.Lock()
		p.toClient.to = forward
		p.toClient.mu.Unlock()
		agree(t, <-p.ofClient, s)
	})
}

// When it is over nothing is held any more, nothing is said, and nothing is answered.
func TestAfterLingering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, 1, nil)
		agree(t, <-p.ofClient, <-p.ofServer)
		time.Sleep(lingering + time.Second)
		synctest.Wait()
		for name, h := range map[string]*Handshake{"client": p.client, "server": p.server} {
			select {
			case <-h.ended:
			default:
				t.Errorf("%s: its goroutine lives", name)
			}
			if h.conn != nil || h.Feed(p.toServer.seen[0]) {
				t.Errorf("%s: holds or takes something", name)
			}
		}
		for _, w := range []*wire{&p.toServer, &p.toClient} {
			for _, b := range w.seen {
				if b[0] == alertRecord {
					t.Errorf("said %x at the end, which a peer may take for the end of the call", b)
				}
			}
		}
		p.close()
		p.close() // and once more
	})
}

func reason(err error) Reason {
	var e *Error
	if !errors.As(err, &e) {
		return ""
	}
	return e.Reason
}

func TestWhyItFails(t *testing.T) {
	for _, c := range []struct {
		name           string
		change         func(client, server *Config, p *pair)
		client, server Reason
	}{
		{"the server is somebody else", func(client, _ *Config, p *pair) { client.Peer = []Fingerprint{p.clientCert.Fingerprint()} }, Mismatch, Alert},
		{"the client is somebody else", func(_, server *Config, p *pair) { server.Peer = []Fingerprint{p.serverCert.Fingerprint()} }, Alert, Mismatch},
		{
			"no common suite", func(client, server *Config, _ *pair) {
				client.Suites, server.Suites = []srtp.Suite{srtp.AES128GCM}, []srtp.Suite{srtp.AES128CM80}
			}, Alert, Profile,
		},
		{"nobody answers", func(_, _ *Config, p *pair) { p.toClient.lost = 1 }, Timeout, Timeout},
		{"nobody begins", func(_, _ *Config, p *pair) { p.toServer.lost = 1 }, Timeout, Timeout},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newPair(t, 1, c.change)
			defer p.close()
			began := time.Now()
			client, server := <-p.ofClient, <-p.ofServer
			if reason(client.err) != c.client || reason(server.err) != c.server {
				t.Errorf("%s: client: %v; server: %v", c.name, client.err, server.err)
			}
			if client.keys.Suite != 0 || server.keys.Suite != 0 || client.keys.Ours.Key != nil || server.keys.Ours.Key != nil {
				t.Errorf("%s: there are keys", c.name)
			}
			if took := time.Since(began); took > defaultTimeout {
				t.Errorf("%s: took %v", c.name, took)
			}
		})
	}
}

func TestWhatCannotStart(t *testing.T) {
	cert := certificate(t)
	good := Config{Role: Client, Certificate: cert, Peer: []Fingerprint{cert.Fingerprint()}, Send: func([]byte) {}, Done: func(Keys, error) {}}
	for name, change := range map[string]func(c *Config){
		"no role":        func(c *Config) { c.Role = 0 },
		"no certificate": func(c *Config) { c.Certificate = Certificate{} },
		"no fingerprint": func(c *Config) { c.Peer = nil },
		"no profile":     func(c *Config) { c.Suites = []srtp.Suite{srtp.AES256CM80} },
	} {
		c := good
		change(&c)
		if h, err := Start(c); err == nil {
			h.Close()
			t.Errorf("%s: started", name)
		}
	}
}

// Close at any moment ends everything, and nothing is told or sent behind it.
func TestCloseAtAnyMoment(t *testing.T) {
	for ms := range 12 {
		synctest.Test(t, func(t *testing.T) {
			p := newPair(t, uint64(ms), func(_, _ *Config, p *pair) { p.toServer.late, p.toClient.late = time.Millisecond, time.Millisecond })
			time.Sleep(time.Duration(ms) * time.Millisecond)
			synctest.Wait()
			told := len(p.ofClient) + len(p.ofServer)
			p.close()
			sent := p.toServer.count() + p.toClient.count()
			time.Sleep(time.Hour)
			synctest.Wait()
			if n := p.toServer.count() + p.toClient.count(); n != sent {
				t.Errorf("closed after %d ms: %d datagrams more", ms, n-sent)
			}
			if n := len(p.ofClient) + len(p.ofServer); n != told {
				t.Errorf("closed after %d ms: told %d times more", ms, n-told)
			}
		})
	}
}

// One forged datagram of any kind, at any point, must not end a handshake, with the exception of a fatal alert: in DTLS 1.2 that is not protected.
func TestGarbageDoesNotEndIt(t *testing.T) {
	var good [][]byte
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, 1, nil)
		agree(t, <-p.ofClient, <-p.ofServer)
		p.close()
		good = append(slices.Clone(p.toServer.seen), p.toClient.seen...)
	})
	forged := garbage(good)
	for first := range forged {
		synctest.Test(t, func(t *testing.T) {
			p := newPair(t, 2, nil)
			defer p.close()
			for i := range 3 { // before, between and behind
				b := forged[(first+i)%len(forged)]
				p.server.Feed(b)
				p.client.Feed(b)
				time.Sleep(time.Millisecond + time.Microsecond)
			}
			c, s := <-p.ofClient, <-p.ofServer
			if c.err != nil || s.err != nil {
				t.Fatalf("%x: client: %v; server: %v", forged[first], c.err, s.err)
			}
			agree(t, c, s)
		})
	}
}

// garbage is what wellFormed or pion must drop.
func garbage(good [][]byte) (out [][]byte) {
	record := func(kind byte, epoch uint16, body ...byte) []byte {
		return append([]byte{kind, 0xfe, 0xfd, byte(epoch >> 8), byte(epoch), 0, 0, 0, 0, 3, 9, byte(len(body) >> 8), byte(len(body))}, body...)
	}
	// A handshake message that is well-formed, in a record whose number is far ahead.
	ahead := record(handshakeRecord, 0, 14, 0, 0, 0, 0, 40, 0, 0, 0, 0, 0, 0)
	ahead[7] = 1
	out = [][]byte{
		ahead,
		{},
		{22},
		make([]byte, 13), bytes.Repeat([]byte{22}, 100), bytes.Repeat([]byte{0xff}, maxDatagram+1),
		record(handshakeRecord, 0), record(handshakeRecord, 2, 1, 2, 3), record(applicationData, 0, 1, 2, 3), record(applicationData, 1, 1, 2, 3),
		record(changeCipherSpec, 0, 1), record(changeCipherSpec, 0, 2), record(changeCipherSpec, 0, 1, 1), record(25, 0, 1), record(63, 1, 1),
		record(alertRecord, 0, 1, 90), record(alertRecord, 0, 3, 40), record(alertRecord, 0, 2), record(alertRecord, 1, 2, 40, 7, 7),
		record(handshakeRecord, 0, bytes.Repeat([]byte{1}, 5)...), record(handshakeRecord, 1, bytes.Repeat([]byte{1}, 60)...),
	}
	for _, b := range good {
		for _, n := range []int{1, 12, 13, 14, 25, len(b) / 2, len(b) - 1} {
			if n < len(b) {
				out = append(out, b[:n])
			}
		}
	}
	return out
}

// Messages that nobody needs to send are not taken: the key of a certificate with 8 KB, and a signature by it, would cost a tenth of a second.
func TestMessagesAreBounded(t *testing.T) {
	record := func(kind byte, whole, offset int, body ...byte) []byte {
		length := messageHeader + len(body)
		b := []byte{
			handshakeRecord, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, byte(length >> 8), byte(length),
			kind, byte(whole >> 16), byte(whole >> 8), byte(whole), 0, 0, byte(offset >> 16), byte(offset >> 8), byte(offset), 0, byte(len(body) >> 8), byte(len(body)),
		}
		return append(b, body...)
	}
	twice := record(14, 0, 0)
	twice = append(twice, twice[recordHeader:]...)
	twice[12] += messageHeader
	for _, c := range []struct {
		name string
		b    []byte
		want bool
	}{
		{"nothing in it", record(14, 0, 0), true},
		{"two in one record", twice, true},
		{"a header cut", twice[:len(twice)-1], false},
		{"a fragment", record(1, 100, 97, 1, 2, 3), true},
		{"a fragment beyond its message", record(1, 100, 98, 1, 2, 3), false},
		{"more than the message", record(1, 2, 0, 1, 2, 3), false},
		{"the longest", record(11, maxMessage, 0, 1), true},
		{"longer", record(11, maxMessage+1, 0, 1), false},
		{"the longest key exchange", record(serverKeyExchange, maxSigned, 0, 1), true},
		{"a longer one", record(serverKeyExchange, maxSigned+1, 0, 1), false},
		{"the longest proof", record(certificateVerify, maxSigned, 0, 1), true},
		{"a longer one", record(certificateVerify, maxSigned+1, 0, 1), false},
	} {
		if got := wellFormed(c.b); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// Many that begin and don't go on hold a bounded number of octets each, and all of them end.
func TestHalfOpenFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many = 60
		var all []*Handshake
		failed := make(chan error, many)
		cert := certificate(t)
		// Records with a fragment each of messages that never get whole.
		fragment := func(i int) []byte {
			body := make([]byte, 1000)
			body[0] = 1 // ClientHello
			copy(body[1:], []byte{0, 0x1f, 0xff, byte(i >> 8), byte(i), 0, 0, 0, 0, 3, 0xdc})
			return append([]byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, byte(i >> 8), byte(i), 3, 0xe8}, body...)
		}
		for range many {
			h, err := Start(Config{
				Role: Server, Certificate: cert, Peer: []Fingerprint{cert.Fingerprint()},
				Send: func([]byte) {}, Done: func(_ Keys, err error) { failed <- err },
			})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, h)
			taken := 0
			for i := range 1000 {
				if b := fragment(i); h.Feed(b) {
					taken += len(b)
				}
				if i%10 == 0 {
					synctest.Wait()
				}
			}
			if taken > maxTaken || taken < maxTaken/2 {
				t.Fatalf("took %d octets", taken)
			}
		}
		for range many {
			if err := <-failed; reason(err) != Timeout {
				t.Fatal(err)
			}
		}
		for _, h := range all {
			h.Close()
		}
	})
}

func TestTheQueueIsBounded(t *testing.T) {
	p := newPipe(nil)
	taken := 0
	for range 1000 {
		if p.put(make([]byte, 100)) {
			taken++
		}
	}
	if taken != maxWaiting {
		t.Errorf("%d wait", taken)
	}
	if newPipe(nil).put(make([]byte, maxDatagram+1)) {
		t.Error("one that is too long waits")
	}
	b := make([]byte, maxDatagram)
	for range taken {
		if n, _, err := p.ReadFrom(b); n != 100 || err != nil {
			t.Fatalf("read %d: %v", n, err)
		}
	}
	_ = p.Close()
	if p.put(b[:100]) {
		t.Error("something waits behind the end")
	}
}

func TestKeysAreNotShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, 1, nil)
		defer p.close()
		k := (<-p.ofClient).keys
		<-p.ofServer
		for _, s := range []string{fmt.Sprint(k), fmt.Sprintf("%+v", k), fmt.Sprintf("%#v", k), fmt.Sprintf("%v %#v", k.Ours, k.Theirs)} {
			if !strings.Contains(s, "***") || strings.Contains(s, strings.Trim(fmt.Sprint(k.Ours.Key), "[]")) {
				t.Errorf("shown as %s", s)
			}
		}
	})
}

// Both sides of one handshake, without a wire between them and with certificates that are there.
func BenchmarkHandshake(b *testing.B) {
	one, two := certificate(b), certificate(b)
	b.ReportAllocs()
	for b.Loop() {
		done := make(chan error, 2)
		var client, server *Handshake
		ready := make(chan struct{})
		config := func(role Role, own, peer Certificate, to **Handshake) Config {
			return Config{
				Role: role, Certificate: own, Peer: []Fingerprint{peer.Fingerprint()}, Proven: true,
				Send: func(d []byte) { <-ready; (*to).Feed(d) }, Done: func(_ Keys, err error) { done <- err },
			}
		}
		server, _ = Start(config(Server, two, one, &client))
		client, _ = Start(config(Client, one, two, &server))
		close(ready)
		for range 2 {
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		}
		client.Close()
		server.Close()
	}
}

func BenchmarkCertificate(b *testing.B) {
	for b.Loop() {
		certificate(b)
	}
}
