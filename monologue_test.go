package cordon

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// The end of the far end is seen without a write, and one that reads nothing holds nobody up for longer than the deadline.
func TestAMonologueSeesThatNobodyListens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		m := newMonologue(near)
		go func() {
			_, _ = far.Write([]byte("what it says is read and forgotten"))
			_, _ = io.ReadFull(far, make([]byte, 4))
		}()
		if _, err := m.Write([]byte("HEP3")); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		begin := time.Now()
		if _, err := m.Write([]byte("more")); err == nil || time.Since(begin) != monologueWrite {
			t.Errorf("a far end that does not read: %v after %v", err, time.Since(begin))
		}
		_ = far.Close()
		synctest.Wait()
		begin = time.Now()
		if _, err := m.Write([]byte("more")); err == nil || time.Since(begin) != 0 {
			t.Errorf("a far end that is gone: %v after %v", err, time.Since(begin))
		}
		_ = m.Close()
	})
}
