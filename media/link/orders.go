package link

import (
	"fmt"
	"syscall"

	"github.com/cordonsip/cordon/internal/osnet"
	"github.com/cordonsip/cordon/media/plane"
)

// order is a command that came: what it does to a book, false where there is no room, and to a plane. book goes first.
type order struct {
	book func(*ledger) bool
	do   func(plane.Commands)
}

// commands says whether frames of a kind are commands, those of a later version included.
func commands(k kind) bool { return k >= kindGive && k < kindMoved }

// commanded reads a command. The descriptors are used up.
func commanded(k kind, r *body, files []int) (o order, err error) {
	switch k {
	case kindGive:
		return given(r, files)
	case kindWithdraw:
		id := r.u32()
		o = order{func(l *ledger) bool { l.withdraw(id); return true }, func(p plane.Commands) { p.Withdraw(id) }}
	case kindOpen:
		n := r.open()
		o = order{func(l *ledger) bool { return opened(l, n) }, func(p plane.Commands) { p.Open(n) }}
	case kindSet, kindSetAside:
		n := r.setting(k)
		o = order{func(l *ledger) bool { return settled(l, n) }, func(p plane.Commands) { carry(p, n) }}
	case kindMute, kindSilence:
		ref := r.ref()
		o = order{func(l *ledger) bool { l.still(ref, k); return true }, func(p plane.Commands) { hush(p, k, ref) }}
	case kindJoin:
		x, y := r.ref(), r.ref()
		o = order{func(l *ledger) bool { l.join(x, y, putJoin(nil, x, y)); return true }, func(p plane.Commands) { p.Join(x, y) }}
	case kindClose:
		ref := r.ref()
		o = order{func(l *ledger) bool { l.close(ref); return true }, func(p plane.Commands) { p.Close(ref) }}
	case kindPress:
		n := r.press()
		o = order{func(*ledger) bool { return true }, func(p plane.Commands) { p.Press(n) }}
	case kindImpair:
		n := r.impair()
		o = order{func(*ledger) bool { return true }, func(p plane.Commands) { p.Impair(n) }}
	case kindWatch:
		ref, on := r.ref(), r.bool()
		o = order{func(l *ledger) bool { l.watch(ref, on); return true }, func(p plane.Commands) { p.Watch(ref, on) }}
	case kindSay:
		s := r.said()
		o = order{func(*ledger) bool { return true }, func(p plane.Commands) { p.Say(s.leg, s.at, s.bytes) }}
	case kindClip, kindDrop, kindPlay, kindHush:
		closeAll(files)
		return playing(k, r)
	default:
		closeAll(files)
		return order{func(*ledger) bool { return true }, func(plane.Commands) {}}, nil
	}
	closeAll(files)
	if err := r.end(); err != nil {
		return o, fmt.Errorf("%w: of kind %d", err, k)
	}
	return o, nil
}

// given makes sockets of descriptors.
func given(r *body, files []int) (order, error) {
	id := r.u32()
	if len(files) != 2 || r.end() != nil {
		closeAll(files)
		return order{}, fmt.Errorf("%w: a pair of %d sockets", errFrame, len(files))
	}
	rtp, err := osnet.AdoptSocket(files[0])
	if err != nil {
		closeAll(files[1:])
		return order{}, err
	}
	rtcp, err := osnet.AdoptSocket(files[1])
	if err != nil {
		rtp.Close()
		return order{}, err
	}
	keep := func(l *ledger) bool {
		if l.give(id, held{rtp, rtcp}) {
			return true
		}
		rtp.Close()
		rtcp.Close()
		return false
	}
	return order{keep, func(p plane.Commands) { p.Give(plane.Pair{ID: id, RTP: rtp, RTCP: rtcp}) }}, nil
}

func opened(l *ledger, n plane.Open) bool {
	frame, err := putOpen(nil, n)
	return err == nil && l.open(n, frame)
}

func settled(l *ledger, n plane.Set) bool {
	frame, err := putSet(nil, n)
	defer clear(frame) // keys
	if err == nil {
		l.set(n, frame)
	}
	return err == nil
}

// carry has the plane copy the keys, and wipes them.
func carry(p plane.Commands, n plane.Set) {
	p.Set(n)
	clear(n.In.Master)
	clear(n.Out.Master)
}

func hush(p plane.Commands, k kind, ref plane.Ref) {
	if k == kindMute {
		p.Mute(ref)
	} else {
		p.Silence(ref)
	}
}

// closeAll closes descriptors that nobody wants.
func closeAll(files []int) {
	for _, fd := range files {
		syscall.Close(fd)
	}
}
