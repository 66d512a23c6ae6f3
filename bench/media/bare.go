//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"runtime"
	"syscall"
	"time"

	"github.com/cordonsip/cordon/internal/osnet"
)

// nameBare is a relay that does nothing but read each datagram and send it to the other side: no source is checked, nothing is counted, nobody is asked. What it
// costs is the kernel's, and the least that a relay with a socket for each leg costs on this machine.
const nameBare = "bare"

const bareTick = time.Millisecond

// barren is such a relay: sockets by two, the one at 2n for A of the n-th call and the one after it for B, with the far ends to which they send.
type barren struct {
	at    netip.Addr
	set   *osnet.Set
	socks []*osnet.Socket
	far   []osnet.Name
	calls map[string]int
}

// bare is the subcommand: it serves the questions for calls until its input ends.
func bare(args []string, in io.Reader, out io.Writer) error {
	if len(args) != 1 {
		return errors.New("bare: want the address of the sockets")
	}
	at, err := netip.ParseAddr(args[0])
	if err != nil {
		return err
	}
	set, err := osnet.NewSet()
	if err != nil {
		return err
	}
	b := &barren{at: at, set: set, calls: map[string]int{}}
	questions, replies := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var q question
		if err := questions.Decode(&q); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		var a reply
		if q.Op == "relay" { // all calls are set up: from now on it does nothing else
			go b.relay()
		} else if err := b.answer(q, &a); err != nil {
			a.Err = err.Error()
		}
		if err := replies.Encode(a); err != nil {
			return err
		}
	}
}

// answer serves a question: the offer of A is answered with the socket for B, the answer of B with that for A.
func (b *barren) answer(q question, a *reply) error {
	if q.Op != "offer" && q.Op != "answer" {
		return nil // it has no figures
	}
	end, err := read(q.SDP, "")
	if err != nil {
		return err
	}
	name, ok := osnet.NameOf(end.at, false)
	if !ok {
		return fmt.Errorf("%s is no IPv4 address", end.at)
	}
	if q.Op == "offer" {
		b.calls[q.ID] = len(b.socks)
		for range 2 {
			s, err := osnet.Net{}.Socket(netip.AddrPortFrom(b.at, 0), osnet.SocketOptions{DSCP: -1})
			if err != nil {
				return err
			}
			if err := b.set.Add(s.FD(), uint64(len(b.socks))); err != nil {
				return err
			}
			b.socks, b.far = append(b.socks, s), append(b.far, osnet.Name{})
		}
	}
	n, ok := b.calls[q.ID]
	if !ok {
		return fmt.Errorf("no call %s", q.ID)
	}
	ours := n // the socket for B of an offer, for A of an answer
	if q.Op == "offer" {
		b.far[n] = name
		ours = n + 1
	} else {
		b.far[n+1] = name
	}
	a.SDP = describe(b.socks[ours].Bound(), "", 0, master{})
	return nil
}

// relay carries what comes, all of it once in a tick.
func (b *barren) relay() {
	runtime.LockOSThread()
	_ = osnet.Sharpen() // else it sleeps 50 us longer
	var tags [512]uint64
	var buf [room]byte
	var from osnet.Name
	for next := osnet.Monotonic(); ; {
		n := b.set.Ready(tags[:])
		for _, tag := range tags[:n] {
			size, errno := osnet.Receive(b.socks[tag].FD(), buf[:], &from)
			if other := tag ^ 1; errno == 0 {
				if errno := osnet.Send(b.socks[other].FD(), buf[:size], &b.far[other]); errno != 0 && errno != syscall.EAGAIN {
					panic(errno)
				}
			}
		}
		if n == len(tags) {
			continue
		}
		if next += int64(bareTick); next < osnet.Monotonic() {
			next = osnet.Monotonic()
			continue
		}
		osnet.NapUntil(next)
	}
}
