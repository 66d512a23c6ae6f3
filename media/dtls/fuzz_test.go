package dtls

import (
	"testing"
	"testing/synctest"
)

// FuzzFeed gives a handshake anything as its peer's first datagrams: it must not panic, hold more than it may, or hang.
func FuzzFeed(f *testing.F) {
	cert := certificate(f)
	f.Add([]byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1}, true)
	f.Fuzz(func(t *testing.T, b []byte, server bool) {
		synctest.Test(t, func(t *testing.T) {
			role := Client
			if server {
				role = Server
			}
			done := make(chan error, 1)
			h, err := Start(Config{
				Role: role, Certificate: cert, Peer: []Fingerprint{cert.Fingerprint()}, Proven: true,
				Send: func([]byte) {}, Done: func(_ Keys, err error) { done <- err },
			})
			if err != nil {
				t.Fatal(err)
			}
			defer h.Close()
			synctest.Wait()
			h.Feed(b)
			if err := <-done; err == nil {
				t.Fatal("keys out of garbage")
			}
		})
	})
}

func FuzzRecords(f *testing.F) {
	f.Add([]byte{21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 40})
	f.Add([]byte{20, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if !wellFormed(b) {
			return
		}
		if n, ok := fatalAlert(b); ok && alertName(n) == "" {
			t.Fatalf("alert %d has no name", n)
		}
	})
}

func FuzzParams(f *testing.F) {
	f.Add("fingerprint", string(some256))
	f.Add("setup", "actpass")
	f.Add("tls-id", "abc3de65cddef001be82")
	f.Fuzz(func(t *testing.T, name, value string) {
		var p Params
		p.Take(name, value)
		for _, f := range p.Fingerprints {
			if again, ok := ParseFingerprint(string(f)); !ok || again != f {
				t.Fatalf("%q is read as %q, and that as %q", value, f, again)
			}
		}
	})
}
