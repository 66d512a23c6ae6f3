//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"net/netip"
	"runtime"
	"runtime/debug"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/cordonsip/cordon/internal/osnet"
)

// generator is the far ends of all calls. It sends each packet at its time and never sleeps, for it has a core of its own, and a far end that sleeps has the relay
// pay for waking it; unless it dozes: then it sleeps while no packet is due and none comes, as the far ends of calls on one machine do.
type generator struct {
	dozes  bool
	socks  [2]*socket
	rtcp   [2]*socket // the ports that belong to them: nothing is read there, nothing is refused there
	forger *socket    // an address of which no relay was told
}

func newGenerator(far [2]netip.AddrPort, forger netip.AddrPort) (g *generator, err error) {
	g = &generator{}
	defer func() {
		if err != nil {
			g.close()
		}
	}()
	for i, at := range far {
		if g.socks[i], err = open(at); err != nil {
			return g, err
		}
		if g.rtcp[i], err = open(netip.AddrPortFrom(at.Addr(), g.socks[i].at.Port()+1)); err != nil {
			return g, err
		}
	}
	g.forger, err = open(forger)
	return g, err
}

func (g *generator) close() {
	for _, s := range append(append(g.socks[:], g.rtcp[:]...), g.forger) {
		if s != nil {
			s.close()
		}
	}
}

// far is where the far ends are.
func (g *generator) far() [2]netip.AddrPort {
	return [2]netip.AddrPort{g.socks[sideA].at, g.socks[sideB].at}
}

// dropped is what was lost for want of room at the generator itself.
func (g *generator) dropped() uint32 { return g.socks[sideA].dropped() + g.socks[sideB].dropped() }

const (
	quiet    = 500 * time.Millisecond // without a packet, after the last was sent: nothing more is on its way
	drain    = 12 * time.Second       // that it may take until then: a relay with thousands of full sockets
	patience = 200 * time.Millisecond // of who listens: no buffer against jitter holds more
	every    = 50                     // one packet in so many is verified wholly
	kept     = plainSize + 16         // bytes kept of such a one
	unsent   = -1
)

// play is one load on its way.
type play struct {
	g     *generator
	l     *load
	meter func() (time.Duration, time.Duration, error) // CPU of the system under test, and of the kernel's thread beside it
	noise *noise
	warm  int // slots that do not count
	took  *window

	start time.Time
	sent  []int64       // ns after start, by stream and packet
	got   []uint8       // how often it came
	came  time.Duration // the last packet, after start
	here  int           // packets that came, each once
	next  int           // slot
	total int
	step  float64 // ns from one slot to the next
	kept  []byte
	whose []int32
}

// window is what was found in one.
type window struct {
	Sent, Lost    int // of the counted part
	Worst         int // of one call, lost
	Stale         int // came, but later than anybody waits
	Twice         int
	Strange       int           // packets that nobody sent so: another size, header or SSRC
	Bad, Checked  int           // of the sample
	Passed        int           // packets that came while the CPU was measured
	CPU, Beside   time.Duration // of the system, and of the kernel's softirq thread of its core
	Took          time.Duration
	Late          []uint32 // ns behind the time for sending
	Delay         []uint32 // ns from sending to receiving
	Failed        int      // system calls of the generator's that failed
	Dropped       int      // at the generator's sockets
	Noise, Echoes int      // forged packets sent, and of them those that came to a far end
	Others        float64  // the part of the core that systems had whose turn it was not
	byCall        []int32
}

// measure plays a load, of which the first warm packets of each stream do not count, and gives what was found.
func (g *generator) measure(ctx context.Context, l *load, warm int, meter func() (time.Duration, time.Duration, error), n *noise) (*window, error) {
	s := len(l.streams)
	p := &play{
		g: g, l: l, meter: meter, noise: n, warm: warm * s, total: l.packets * s, step: float64(packetTime) / float64(s),
		sent: make([]int64, l.packets*s), got: make([]uint8, l.packets*s),
	}
	counted := p.total - p.warm
	p.took = &window{Late: make([]uint32, 0, counted), Delay: make([]uint32, 0, counted), byCall: make([]int32, s/2)}
	p.kept, p.whose = make([]byte, 0, (p.total/every+s)*kept), make([]int32, 0, p.total/every+s)
	for i := range p.sent {
		p.sent[i] = unsent
	}
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if g.dozes {
		_ = osnet.Sharpen() // else it oversleeps by 50 us
	}
	before := g.dropped()
	if err := p.run(ctx); err != nil {
		return nil, err
	}
	p.took.Dropped = int(g.dropped() - before)
	p.count()
	p.check()
	return p.took, nil
}

// run sends and receives until all has been sent and nothing more comes.
func (p *play) run(ctx context.Context) error {
	for _, s := range p.g.socks { // what came late in an earlier window
		for n := most; n == most; {
			n, _ = s.receive()
		}
	}
	var cpu, beside time.Duration
	var passed int
	p.start = time.Now()
	measuring, ended := false, time.Duration(0)
	for {
		now := time.Since(p.start)
		switch {
		case !measuring && p.next >= p.warm:
			var err error
			if cpu, beside, err = p.meter(); err != nil {
				return err
			}
			measuring, passed, p.took.Took = true, p.took.Passed, now
			now = time.Since(p.start)
		case p.next == p.total && ended == 0:
			after, afterBeside, err := p.meter()
			if err != nil {
				return err
			}
			p.took.CPU, p.took.Beside, p.took.Passed = after-cpu, afterBeside-beside, p.took.Passed-passed
			p.took.Took, ended = now-p.took.Took, now
		case ended > 0 && (p.here == p.total || now > max(ended, p.came)+quiet || now > ended+drain):
			return nil
		}
		p.send(now)
		before := p.came
		if err := p.receive(ended == 0); err != nil {
			return err
		}
		if p.g.dozes && p.came == before {
			p.doze()
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// leastDoze is what it is worth to sleep for.
const leastDoze = 20 * time.Microsecond

// doze sleeps until the next packet is due, or one comes.
func (p *play) doze() {
	left := time.Millisecond // all have been sent
	if p.next < p.total {
		left = time.Duration(float64(p.next)*p.step) - time.Since(p.start)
	}
	if left < leastDoze {
		return
	}
	fds := [2]unix.PollFd{{Fd: int32(p.g.socks[sideA].fd), Events: unix.POLLIN}, {Fd: int32(p.g.socks[sideB].fd), Events: unix.POLLIN}}
	ts := unix.NsecToTimespec(int64(left))
	_, _, _ = unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&fds)), uintptr(len(fds)), uintptr(unsafe.Pointer(&ts)), 0, 0, 0) // whatever ends it
}

// send sends what is due.
func (p *play) send(now time.Duration) {
	s, ns := len(p.l.streams), int64(now)
	for n := 0; n < most && p.next < p.total; n++ {
		due := int64(float64(p.next) * p.step)
		if due > ns {
			break
		}
		who, packet := int(p.l.order[p.next%s]), p.next/s
		st := p.l.streams[who]
		p.g.socks[st.from].out.add(p.l.packet(who, packet), &st.to)
		p.sent[p.l.index(who, packet)] = ns
		if p.next >= p.warm {
			p.took.Late = append(p.took.Late, clamp(ns-due))
		}
		p.next++
	}
	for _, k := range p.g.socks {
		if k.out.n > 0 {
			p.took.Failed += k.send()
		}
	}
	if p.noise != nil && p.next < p.total {
		p.took.Noise += p.noise.send(p.g, p.l, ns)
	}
}

func clamp(ns int64) uint32 { return uint32(min(max(ns, 0), 1<<32-1)) }

func (p *play) receive(counting bool) error {
	for to, k := range p.g.socks {
		n, err := k.receive()
		if err != nil {
			return err
		}
		if n == 0 {
			continue
		}
		p.came = time.Since(p.start)
		for i := range n {
			p.take(side(to), k.in.packet(i), int64(p.came), counting)
		}
	}
	return nil
}

// take finds out which packet came: by its SSRC and its sequence number, which no relay of the bench changes.
func (p *play) take(to side, b []byte, now int64, counting bool) {
	if len(b) < headerSize {
		p.took.Strange++
		return
	}
	l, who := p.l, int(binary.BigEndian.Uint32(b[8:])-p.l.base)
	if who < 0 || who >= len(l.streams) {
		p.strange()
		return
	}
	s := l.streams[who]
	packet := int(binary.BigEndian.Uint16(b[2:]) - l.first[who])
	at := l.index(who, packet)
	if s.from == to || packet >= l.packets || len(b) != plainSize+tagSize(s.suite[1]) || b[0] != 0x80 || b[1]&0x7f != payloadType || p.sent[at] == unsent {
		p.strange()
		return
	}
	if p.got[at]++; p.got[at] > 1 {
		p.took.Twice++
		return
	}
	p.here++
	if counting {
		p.took.Passed++
	}
	if packet*len(l.streams) >= p.warm {
		delay := now - p.sent[at]
		p.took.Delay = append(p.took.Delay, clamp(delay))
		if delay > int64(patience) {
			p.took.Stale++
		}
	}
	if (who+packet)%every == 0 && len(p.whose) < cap(p.whose) {
		p.kept = append(append(p.kept, b...), make([]byte, kept-len(b))...)
		p.whose = append(p.whose, int32(who))
	}
}

func (p *play) strange() {
	if p.noise != nil {
		p.took.Echoes++
	} else {
		p.took.Strange++
	}
}

// count finds what was lost, and of which call.
func (p *play) count() {
	for who := range p.l.streams {
		for packet := p.warm / len(p.l.streams); packet < p.l.packets; packet++ {
			p.took.Sent++
			if p.got[p.l.index(who, packet)] == 0 {
				p.took.Lost++
				p.took.byCall[who/2]++
			}
		}
	}
	for _, n := range p.took.byCall {
		p.took.Worst = max(p.took.Worst, int(n))
	}
}

// check verifies the sample, in the order in which it came.
func (p *play) check() {
	for i, who := range p.whose {
		s := p.l.streams[who]
		b := p.kept[i*kept : i*kept+plainSize+tagSize(s.suite[1])]
		if p.took.Checked++; s.verify(b) != nil {
			p.took.Bad++
		}
	}
}

// noise is forged packets between those of the calls: of an address that the relay was not told of, with the SSRC of a live stream; and of the right address
// with an SSRC that nobody announced.
type noise struct {
	rate    float64 // packets per ns
	left    int
	sent    int
	slab    [most][plainSize + 10]byte
	strange uint32 // the next SSRC of nobody
}

// send sends what is due of it, and says how much that was.
func (n *noise) send(g *generator, l *load, now int64) int {
	due := min(int(float64(now)*n.rate)-n.sent, n.left, most)
	for i := range max(due, 0) {
		who := n.sent % len(l.streams)
		s := l.streams[who]
		b := n.slab[i][:plainSize+tagSize(s.suite[0])]
		if from := g.forger; n.sent/len(l.streams)%2 == 0 {
			fill(b, s.ssrc, s.seq+1000+uint16(n.sent%20_000), s.stamp) // ahead of what the stream itself will send
			from.out.add(b, &s.to)
		} else {
			n.strange++
			fill(b, n.strange, uint16(n.sent), s.stamp)
			g.socks[s.from].out.add(b, &s.to)
		}
		n.sent++
		n.left--
	}
	for _, k := range []*socket{g.forger, g.socks[sideA], g.socks[sideB]} {
		if k.out.n > 0 {
			k.send()
		}
	}
	return max(due, 0)
}
