package admin

import (
	"crypto/sha256"
	"maps"
	"net/netip"
	"sync"
	"time"
)

// Bounds on guessing tokens.
const (
	guessBurst   = 10          // wrong tokens that an address has free
	guessEvery   = time.Second // and one more each
	guessSources = 1024        // addresses that are remembered; all others share one account
	tokensKnown  = 1024
)

// guesses slows down whoever tries tokens. A token that was right before is no guess: nobody is locked out by somebody else on the same host.
// The zero value is ready.
type guesses struct {
	mu    sync.Mutex
	by    map[netip.Addr]account
	known map[[sha256.Size]byte]struct{} // hashes of tokens that were right
}

// account is what an address has left, at a moment.
type account struct {
	left float64
	at   time.Time
}

func (a account) now(now time.Time) account {
	return account{min(guessBurst, a.left+float64(now.Sub(a.at))/float64(guessEvery)), now}
}

// source is the address that is held to account: a host of IPv6 has a whole /64. The zero Addr stands for what cannot be read.
func source(remote string) netip.Addr {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	a := ap.Addr().Unmap().WithZone("")
	if a.Is6() {
		return netip.PrefixFrom(a, 64).Masked().Addr()
	}
	return a
}

// may says whether a token may be looked at, and charges its address as if it were wrong: a thousand guesses at once are a thousand guesses.
func (g *guesses) may(from netip.Addr, token [sha256.Size]byte) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.known[token]; ok {
		return true
	}
	now := time.Now()
	if _, ok := g.by[from]; !ok && len(g.by) >= guessSources {
		maps.DeleteFunc(g.by, func(_ netip.Addr, a account) bool { return a.now(now).left >= guessBurst })
	}
	if g.by == nil {
		g.by = map[netip.Addr]account{}
	}
	k := g.key(from)
	a, ok := g.by[k]
	if !ok {
		a = account{guessBurst, now}
	}
	a = a.now(now)
	free := a.left >= 1
	if free {
		a.left--
	}
	g.by[k] = a
	return free
}

// right remembers a token that was right, and gives back what it was charged.
func (g *guesses) right(from netip.Addr, token [sha256.Size]byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.known[token]; ok {
		return
	}
	if g.known == nil || len(g.known) >= tokensKnown { // tokens that were rotated away leave here
		g.known = map[[sha256.Size]byte]struct{}{}
	}
	g.known[token] = struct{}{}
	k := g.key(from)
	if a, ok := g.by[k]; ok {
		a.left = min(guessBurst, a.left+1)
		g.by[k] = a
	}
}

// key is the account of an address: the shared one when there is no room for its own. The caller holds mu.
func (g *guesses) key(from netip.Addr) netip.Addr {
	if _, ok := g.by[from]; !ok && len(g.by) >= guessSources {
		return netip.Addr{}
	}
	return from
}
