package audit

import (
	"encoding/json"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestPaceGroups holds that the first entry goes at once, that those behind it go together, and that a log that closes waits for nobody.
func TestPaceGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pace
		never := make(chan struct{})
		begin := time.Now()
		p.wait(never)
		if d := time.Since(begin); d != 0 {
			t.Errorf("the first one waited %v", d)
		}
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				p.wait(never)
				if d := time.Since(begin); d != paceEvery {
					t.Errorf("number %d went after %v, want %v", i, d, paceEvery)
				}
			})
		}
		wg.Wait()
		p.wait(never)
		if d := time.Since(begin); d != 2*paceEvery {
			t.Errorf("the group after that went at %v", d)
		}
		closed := make(chan struct{})
		close(closed)
		p.wait(closed)
		if d := time.Since(begin); d != 2*paceEvery {
			t.Errorf("a log that closes was held up: %v", d)
		}
		time.Sleep(3 * paceEvery)
		begin = time.Now()
		p.wait(never)
		if d := time.Since(begin); d != 0 {
			t.Errorf("after a quiet time it waited %v", d)
		}
	})
}

// TestWrap holds that an entry that was put together reads as one that was marshalled whole.
func TestWrap(t *testing.T) {
	s := &spine{cfg: Config{Tenant: "t<1>", Node: "n", Now: time.Now, Clock: func() Clock { return Clock{Source: "x"} }}}
	s.SetStamp(Stamp{PolicyDigest: "p"})
	for _, e := range []Event{
		&CallEnded{CallRef: "a&b<c>\u2028", Cause: `"quoted"`},
		&Receipt{CallRef: "r", Packets: map[string]uint64{"DE": 1}},
		Receipt{CallRef: "by value"},
		Gap{Cause: "{}}", Lost: 3},
	} {
		p, err := s.wrap(e)
		if err != nil {
			t.Fatal(err)
		}
		leaf := p.leaf
		var entry Entry
		if err := json.Unmarshal(leaf, &entry); err != nil {
			t.Fatalf("%s: %v", leaf, err)
		}
		if whole, err := json.Marshal(entry); err != nil || string(whole) != string(leaf) {
			t.Errorf("put together %s\nmarshalled whole %s, %v", leaf, whole, err)
		}
		if body, err := json.Marshal(e); err != nil || string(body) != string(entry.Body) {
			t.Errorf("body %s, want %s, %v", entry.Body, body, err)
		}
	}
}
