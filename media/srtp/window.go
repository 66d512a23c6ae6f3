package srtp

const (
	window   = 128     // packets; RFC 3711 section 3.3.2 wants at least 64
	indexEnd = 1 << 48 // the first index that does not exist any more
)

// Window is the replay window and the rollover state of one stream, of RTP or of RTCP, which has no use for Guess and Candidates. It has no pointers,
// so that it may lie in shared memory; one goroutine may change it. The zero Window has heard nothing.
type Window struct {
	next uint64    // highest index + 1; 0: nothing came
	seen [2]uint64 // bit n: the packet n below the highest one
}

// Guess is the index that a packet with this number most likely has, RFC 3711 section 3.3.1 and appendix A. The first packet is guessed to be of rollover
// counter 0, see Candidates.
func (w *Window) Guess(seq uint16) uint64 {
	if w.next == 0 {
		return uint64(seq)
	}
	highest := w.next - 1
	index := highest&^0xffff | uint64(seq)
	switch ahead := int(seq) - int(highest&0xffff); {
	case ahead > 1<<15 && index >= 1<<16: // there is nothing before counter 0
		return index - 1<<16
	case ahead < -1<<15:
		return index + 1<<16
	}
	return index
}

// Candidates are the indices that a packet with this number may have, the likeliest first, n of them. A receiver that has heard nothing cannot know
// whether the number wrapped before it: a sender that began near the end of the numbers, whose first packets were lost, is at counter 1. Only a packet
// that one of the candidates authenticates says which it is; guessing alone would leave the counter wrong for good.
func (w *Window) Candidates(seq uint16) (indices [2]uint64, n int) {
	if w.next == 0 && seq < 1<<15 {
		return [2]uint64{uint64(seq), 1<<16 | uint64(seq)}, 2
	}
	return [2]uint64{w.Guess(seq)}, 1
}

// Fresh says that index was not seen and is not too old to tell.
func (w *Window) Fresh(index uint64) bool {
	if index >= w.next {
		return index < indexEnd
	}
	back := w.next - 1 - index
	return back < window && w.seen[back/64]>>(back%64)&1 == 0
}

// Take marks index as seen. Only a packet that was authentic may be taken: anybody else could push the window away from the stream.
func (w *Window) Take(index uint64) {
	if index < w.next {
		if back := w.next - 1 - index; back < window {
			w.seen[back/64] |= 1 << (back % 64)
		}
		return
	}
	switch ahead := index + 1 - w.next; {
	case ahead < 64:
		w.seen[1] = w.seen[1]<<ahead | w.seen[0]>>(64-ahead)
		w.seen[0] <<= ahead
	case ahead < window:
		w.seen[1] = w.seen[0] << (ahead - 64)
		w.seen[0] = 0
	default:
		w.seen = [2]uint64{}
	}
	w.seen[0] |= 1
	w.next = index + 1
}

// Highest is the highest index that was taken; false: none was.
func (w *Window) Highest() (uint64, bool) { return w.next - 1, w.next > 0 }

// Resume starts at a known index: it and everything below counts as seen.
func (w *Window) Resume(highest uint64) {
	*w = Window{next: highest + 1, seen: [2]uint64{^uint64(0), ^uint64(0)}}
}

// State gives all that a window knows, and WindowOf makes one of it: the highest index + 1, and which of the packets below it were seen, bit n of both words together for
// the packet n below the highest one.
func (w *Window) State() (next uint64, seen [2]uint64) { return w.next, w.seen }

// WindowOf is the reverse of State.
func WindowOf(next uint64, seen [2]uint64) Window { return Window{next, seen} }
