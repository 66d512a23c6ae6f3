package link

import (
	"sync"

	"github.com/cordonsip/cordon/sovereign"
)

// policies is the snapshot in force as it is sent, and how far the other fence is behind.
type policies struct {
	fence *sovereign.Fence

	mu    sync.Mutex // held while a snapshot is written down: the one that is sent last is the newest
	snap  *sovereign.Snapshot
	bytes []byte
	push  uint64 // counts snapshots
}

// newest writes the snapshot in force down, unless that was done. fresh: it was not.
func (p *policies) newest() (fresh bool, err error) {
	s := p.fence.Snapshot()
	if s == p.snap {
		return false, nil
	}
	b, err := s.MarshalBinary()
	if err != nil {
		return false, err
	}
	p.snap, p.bytes = s, b
	p.push++
	return true, nil
}
