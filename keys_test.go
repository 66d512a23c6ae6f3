package cordon

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"sync"
	"testing"
)

// TestDerive holds that a derived function is the HMAC of its message under a key of its own, leaves the message alone, and may be called by many at once.
func TestDerive(t *testing.T) {
	t.Parallel()
	sum := func(key, msg []byte) []byte {
		h := hmac.New(sha256.New, key)
		h.Write(msg)
		return h.Sum(nil)
	}
	k := &nodeKeys{mac: []byte("a key of the node")}
	mac, key := k.derive("this"), sum(k.mac, []byte("cordon/this"))
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			text := bytes.Repeat([]byte{byte(i)}, 3*i)
			for _, room := range []int{0, 31, 32, 100} {
				msg := append(make([]byte, 0, len(text)+room), text...)
				if got := mac(msg); !bytes.Equal(got, sum(key, text)) || !bytes.Equal(msg, text) {
					t.Errorf("%d bytes with room for %d: %x", len(text), room, got)
				}
			}
		})
	}
	all.Wait()
	if bytes.Equal(mac(nil), k.derive("that")(nil)) {
		t.Error("two uses have one key")
	}
}
