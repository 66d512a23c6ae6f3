package carrier

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pion/rtp"
)

// Digits go to the other side as telephone events (RFC 4733), which who plays the tone sends in its place, or by INFO, which SendInfo sends. Both are taken from it.

const (
	digitKeys  = "0123456789*#ABCD" // by their events, RFC 4733 section 3.2
	digitType  = "application/dtmf-relay"
	digitGrows = 5 // packets until a digit has its length, the last of which ends it: 100 ms
	digitEnds  = 3 // end packets, RFC 4733 section 2.5.1.4
	digitPause = 5 // packets of the tone between two digits
)

// Digit is one that the other side sent.
type Digit struct {
	Key    byte // of 0123456789*#ABCD
	Info   bool // by INFO, else as a telephone event
	Ended  bool // its end came
	Length time.Duration

	ssrc, ts uint32 // an event is one digit in all packets that have these
}

// digits are those of a call. Under m.mu.
type digits struct {
	queue []byte // events to send; the first one is under way
	sent  int    // packets of it
	began uint32 // its time stamp
	pause int    // packets before it
	came  []Digit
}

// Press sends digits as telephone events, one after the other. It is an error where the session has none, or where we have no tone or may not send.
func (c *Call) Press(keys string) error {
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	if !c.confirmed || c.remote == nil || c.image || c.dir == recvonly || c.dir == inactive || !c.media.tone || !slices.Contains(c.remote.formats, strconv.Itoa(telEvent)) {
		return errors.New("carrier: the call takes no telephone events of ours")
	}
	var events []byte
	for i := range len(keys) {
		event := strings.IndexByte(digitKeys, keys[i])
		if event < 0 {
			return fmt.Errorf("carrier: %q is no digit", keys[i])
		}
		events = append(events, byte(event))
	}
	c.media.mu.Lock()
	defer c.media.mu.Unlock()
	c.media.digits.queue = append(c.media.digits.queue, events...)
	return nil
}

// Digits are those that the other side sent, in the order in which they began.
func (c *Call) Digits() []Digit {
	m := read(c, func() *media { return c.media })
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.digits.came)
}

// dial sends the next packet of a digit; false when the tone is to be sent. Under m.mu.
func (m *media) dial() bool {
	d := &m.digits
	switch {
	case m.closed || m.mute || len(d.queue) == 0:
		return false
	case d.pause > 0:
		d.pause--
		return false
	case d.sent == 0:
		d.began = m.ts
	}
	d.sent++
	b := binary.BigEndian.AppendUint16([]byte{d.queue[0], 10}, uint16(min(d.sent, digitGrows)*samples))
	if d.sent >= digitGrows {
		b[1] |= 0x80
	}
	now := m.ts
	m.ts = d.began
	m.send(b, telEvent, d.sent == 1)
	m.ts = now + samples
	if d.sent == digitGrows+digitEnds-1 {
		d.queue, d.sent, d.pause = d.queue[1:], 0, digitPause
	}
	return true
}

// hear takes a telephone event and gives a fault to report, or "". Under m.mu.
func (m *media) hear(p *rtp.Packet) string {
	b, came := p.Payload, m.digits.came
	if len(b) != 4 || int(b[0]) >= len(digitKeys) {
		return fmt.Sprintf("telephone event % x", b)
	}
	i := slices.IndexFunc(came, func(d Digit) bool { return !d.Info && d.ssrc == p.SSRC && d.ts == p.Timestamp })
	if i < 0 {
		i = len(came)
		came = append(came, Digit{Key: digitKeys[b[0]], ssrc: p.SSRC, ts: p.Timestamp})
	}
	d := &came[i]
	if d.Key != digitKeys[b[0]] {
		return fmt.Sprintf("telephone event % x under the time stamp of another one", b)
	}
	d.Ended = d.Ended || b[1]&0x80 != 0
	d.Length = max(d.Length, time.Duration(binary.BigEndian.Uint16(b[2:]))*time.Second/8000)
	m.digits.came = came
	return ""
}

// keyed takes an INFO, which may say a digit. Under p.mu.
func (c *Call) keyed(m *message) {
	if m.get("Content-Type") != digitType || c.media == nil {
		return
	}
	signal, rest, _ := strings.Cut(string(m.body), "\r\n")
	length, _, timed := strings.Cut(rest, "\r\n")
	key, named := strings.CutPrefix(signal, "Signal=")
	ms, err := 0, error(nil)
	if timed {
		ms, err = strconv.Atoi(strings.TrimPrefix(length, "Duration="))
	}
	if !named || len(key) != 1 || !strings.Contains(digitKeys, key) || err != nil {
		c.p.fault("INFO: a digit of %q", m.body)
		return
	}
	c.media.mu.Lock()
	defer c.media.mu.Unlock()
	c.media.digits.came = append(c.media.digits.came, Digit{Key: key[0], Info: true, Ended: true, Length: time.Duration(ms) * time.Millisecond})
}
