//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/cordonsip/cordon/internal/ng"
)

const (
	nameCordon = "cordon"
	namePeer   = "rtpengine"
)

// Where everybody is. All of it is on loopback.
var (
	cordonAt = netip.MustParseAddr("127.20.0.1")
	peerAt   = netip.MustParseAddr("127.20.0.2")
	peerAsks = netip.MustParseAddrPort("127.20.0.2:2223")
	bareAt   = netip.MustParseAddr("127.20.0.3")
	farEnds  = [2]netip.AddrPort{netip.MustParseAddrPort("127.20.1.1:40000"), netip.MustParseAddrPort("127.20.2.1:40000")}
	forgerAt = netip.MustParseAddrPort("127.20.3.1:40000")
)

// signalled is what calls are set up with: the offer of A becomes one for B, the answer of B one for A.
type signalled interface {
	offer(id string, m int, sdp []byte) ([]byte, error)
	answer(id string, m int, sdp []byte) ([]byte, error)
}

// system is a relay under test, in a process of its own.
type system interface {
	signalled
	process() *process
	stop()
}

// call is what the two far ends of a call know.
type call struct{ streams [2]*stream }

// establish sets a call up: the offer of A, what the relay makes of it for B, the answer of B, what the relay makes of it for A.
func establish(s signalled, far [2]netip.AddrPort, m int, id string, ssrc uint32) (c call, err error) {
	md := modes()[m]
	keys := [2]master{newMaster(), newMaster()}
	toB, err := s.offer(id, m, describe(far[sideA], md.suites[sideA], 1, keys[sideA]))
	if err != nil {
		return c, err
	}
	var ends [2]told
	if ends[sideB], err = read(toB, md.suites[sideB]); err != nil {
		return c, err
	}
	toA, err := s.answer(id, m, describe(far[sideB], md.suites[sideB], ends[sideB].tag, keys[sideB]))
	if err != nil {
		return c, err
	}
	if ends[sideA], err = read(toA, md.suites[sideA]); err != nil {
		return c, err
	}
	for from := range c.streams {
		from := side(from)
		st := &stream{from: from, to: name(ends[from].at), ssrc: ssrc + uint32(from), seq: uint16(ssrc*7) & 0x3fff, suite: [2]string{md.suites[from], md.suites[from.other()]}}
		if st.seal, err = keyed(st.suite[0], keys[from]); err != nil {
			return c, err
		}
		// What comes out at the other side is sealed with the key that the relay told that side.
		if st.open, err = keyed(st.suite[1], ends[from.other()].key); err != nil {
			return c, err
		}
		c.streams[from] = st
	}
	return c, nil
}

// cordon is this very program, started again, with media's door in it.
type cordon struct {
	proc    *process
	asks    *json.Encoder
	replies *json.Decoder
}

func startCordon(p *plan, dir string) (*cordon, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{"relay", "-at", cordonAt.String()}
	if p.profile != "" {
		args = append(args, "-cpuprofile", p.profile)
	}
	if p.split {
		args = append(args, "-split")
	}
	c := &cordon{}
	if c.proc, err = launch(dir, nameCordon, p.nice, true, self, args...); err != nil {
		return nil, err
	}
	c.asks, c.replies = json.NewEncoder(c.proc.in), json.NewDecoder(c.proc.out)
	if _, err := c.figures(true); err != nil {
		c.stop()
		return nil, fmt.Errorf("%w: %s", err, c.proc.tail())
	}
	return c, nil
}

// barest is the bare relay, asked as cordon is.
type barest struct{ *cordon }

func startBare(p *plan, dir string) (barest, error) {
	self, err := os.Executable()
	if err != nil {
		return barest{}, err
	}
	c := &cordon{}
	if c.proc, err = launch(dir, nameBare, p.nice, true, self, "bare", bareAt.String()); err != nil {
		return barest{}, err
	}
	c.asks, c.replies = json.NewEncoder(c.proc.in), json.NewDecoder(c.proc.out)
	return barest{c}, nil
}

func (c *cordon) ask(q question) (a reply, err error) {
	if err = c.asks.Encode(q); err == nil {
		err = c.replies.Decode(&a)
	}
	if err == nil && a.Err != "" {
		err = errors.New(a.Err)
	}
	if err != nil {
		err = fmt.Errorf("cordon: %s: %w", q.Op, err)
	}
	return a, err
}

func (c *cordon) offer(id string, m int, sdp []byte) ([]byte, error) {
	a, err := c.ask(question{Op: "offer", ID: id, Mode: m, SDP: sdp})
	return a.SDP, err
}

func (c *cordon) answer(id string, m int, sdp []byte) ([]byte, error) {
	a, err := c.ask(question{Op: "answer", ID: id, Mode: m, SDP: sdp})
	return a.SDP, err
}

// figures asks for those of the process; collected: after its garbage was, and what is free went back to the system.
func (c *cordon) figures(collected bool) (figures, error) {
	a, err := c.ask(question{Op: "figures", On: collected})
	return a.Figures, err
}

func (c *cordon) process() *process { return c.proc }

func (c *cordon) stop() {
	_ = c.proc.in.Close() // which ends it, with its profile written
	select {
	case <-c.proc.done:
	case <-time.After(5 * time.Second):
		c.proc.end(time.Second)
	}
}

// rtpengine is Debian's, without its kernel module.
type rtpengine struct {
	proc *process
	ng   *ng.Client
}

func startPeer(p *plan, dir string) (*rtpengine, error) {
	e := &rtpengine{}
	args := []string{
		"--config-file=none", "--interface=" + peerAt.String(), "--listen-ng=" + peerAsks.String(), "--table=-1", "--foreground", "--log-stderr", "--log-level=3",
		"-m", "10000", "-M", "59999", "--timeout=3600", "--silent-timeout=3600", "--delete-delay=0", "--pidfile=" + dir + "/rtpengine.pid",
	}
	if p.threads > 0 {
		args = append(args, fmt.Sprintf("--num-threads=%d", p.threads))
	}
	var err error
	if e.proc, err = launch(dir, namePeer, p.nice, false, "rtpengine", args...); err != nil {
		return nil, err
	}
	if e.ng, err = ng.Dial(peerAsks); err == nil {
		_, err = e.ng.Ask(map[string]any{"command": "ping"})
	}
	if err != nil {
		e.stop()
		return nil, fmt.Errorf("%w: %s", err, e.proc.tail())
	}
	return e, nil
}

// What is asked for is the least that replaces addresses: no ICE, no DTLS.
func (e *rtpengine) exchange(command, id, suite string, sdp []byte) ([]byte, error) {
	q := map[string]any{
		"command": command, "call-id": id, "from-tag": "a", "sdp": string(sdp), "ICE": "remove", "DTLS": "off",
		"replace": []any{"origin", "session-connection"}, "transport-protocol": profile(suite),
	}
	if command == "answer" {
		q["to-tag"] = "b"
	}
	a, err := e.ng.Ask(q)
	if err != nil {
		return nil, err
	}
	text, _ := a["sdp"].(string)
	return []byte(text), nil
}

func (e *rtpengine) offer(id string, m int, sdp []byte) ([]byte, error) {
	return e.exchange("offer", id, modes()[m].suites[sideB], sdp)
}

func (e *rtpengine) answer(id string, m int, sdp []byte) ([]byte, error) {
	return e.exchange("answer", id, modes()[m].suites[sideA], sdp)
}

func (e *rtpengine) process() *process { return e.proc }

func (e *rtpengine) stop() {
	if e.ng != nil {
		_ = e.ng.Close() // nothing waits in it
	}
	e.proc.end(5 * time.Second)
}
