package transport

import (
	"container/list"
	"net/netip"
	"time"
)

// maxReplies bounds the sources whose way back is remembered per listener. It holds only sources that the Screen admitted, so forged ones fill nothing.
const maxReplies = 4096

// replies remembers judgements: who was asked once is not judged for each packet. The least recently used falls out. For one goroutine.
type replies struct {
	byFrom map[replyKey]*list.Element
	order  *list.List // of *reply, most recent first
}

type replyKey struct {
	who  Admission
	from netip.AddrPort
}

type reply struct {
	key        replyKey
	flow, mute *flow  // mute is made when it is needed: few are refused
	generation uint64 // of the snapshot that refused
}

func newReplies() *replies { return &replies{map[replyKey]*list.Element{}, list.New()} }

// flow gives the way back to from, without a pass when none is permitted. judge asks the fence.
func (r *replies) flow(who Admission, from netip.AddrPort, generation uint64, judge func() *flow) *flow {
	k := replyKey{who, from}
	if p := r.remembered(&k); p != nil {
		if p.flow.pass != nil && p.flow.pass.Live(time.Time{}) {
			return p.flow
		}
		// A refusal stands until the policy changes; a pass that died may have a successor.
		if p.generation == generation {
			if p.mute == nil {
				p.mute = p.flow.mute()
			}
			return p.mute
		}
		p.flow, p.mute, p.generation = judge(), nil, generation
		return p.flow
	}
	p := &reply{key: k, flow: judge(), generation: generation}
	r.byFrom[k] = r.order.PushFront(p)
	if r.order.Len() > maxReplies {
		last := r.order.Remove(r.order.Back()).(*reply)
		delete(r.byFrom, last.key)
	}
	return p.flow
}

// few are those at the front that are compared one by one: most nodes hear few sources, and their order among themselves drops nobody.
const few = 4

// remembered finds a judgement and makes it one of the last that was used.
func (r *replies) remembered(k *replyKey) *reply {
	e := r.order.Front()
	for range few {
		if e == nil {
			return nil
		}
		if p := e.Value.(*reply); p.key.from == k.from && p.key.who == k.who {
			return p
		}
		e = e.Next()
	}
	e, ok := r.byFrom[*k]
	if !ok {
		return nil
	}
	r.order.MoveToFront(e)
	return e.Value.(*reply)
}
