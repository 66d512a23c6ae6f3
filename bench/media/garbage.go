//go:build linux

package main

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

const (
	pieces   = 16384                // that live at one time, about 1.5 KB each: dialogs, transactions, what a log and a trace hold
	littered = 2 * time.Millisecond // from one heap of pieces to the next
)

// message is one piece of what signalling makes: a message as it came, its headers by name, and a string for each line.
type message struct {
	raw     []byte
	headers map[string]string
	before  *message // of the same dialog
}

// litter makes so many MB of garbage per second, as reading and writing SIP messages does, on a goroutine that end ends.
func litter(mb int) (end func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		live := make([]*message, pieces)
		t := time.NewTicker(littered)
		defer t.Stop()
		begun, made, n := time.Now(), 0, 0
		for {
			select {
			case <-done:
				return
			case <-t.C:
			}
			for want := int(time.Since(begun).Seconds() * float64(mb) * 1e6); made < want; n++ {
				m, size := newMessage(n)
				if old := live[n%pieces]; old != nil { // a dialog remembers one message back
					old.before = nil
					m.before = old
				}
				live[n%pieces] = m
				made += size
			}
		}
	})
	return func() {
		close(done)
		wg.Wait()
	}
}

// newMessage makes one, and says about how many bytes that took.
func newMessage(n int) (*message, int) {
	m := &message{headers: make(map[string]string, 12)}
	m.raw = fmt.Appendf(nil, "INVITE sip:%[1]d@example.net SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK%[1]d\nFrom: <sip:a@example.net>;tag=%[1]d\n"+
		"To: <sip:%[1]d@example.net>\nCall-ID: %[1]d@192.0.2.1\nCSeq: %[1]d INVITE\nMax-Forwards: 70\nContact: <sip:a@192.0.2.1:5060>\nContent-Length: 0\n", n)
	for line := range strings.Lines(string(m.raw)) {
		name, value, _ := strings.Cut(line, ":")
		m.headers[strings.ToLower(name)] = strings.Clone(value)
	}
	return m, 4*len(m.raw) + 700
}
