package cordon

import (
	"time"

	"github.com/cordonsip/cordon/audit"
)

// Why evidence is stale.
const (
	staleExpired = "expired" // its signature
)

// outdated looks for files that count less than they did. mu is held.
func (k *placeKeeper) outdated(now time.Time) {
	n := 0
	for _, t := range k.node.cfg.Load().Evidence.Tables {
		if t.Expired(now) {
			n++
			k.fade(audit.PlaceEvidenceStale{
				Evidence: string(t.Kind), File: t.Source, Digest: t.Digest, What: staleExpired, Since: t.Until.UTC(),
				Why: "its signature is good no longer: it supports nothing, and what it contradicted stays so",
			})
		}
	}
	k.stale.Set(float64(n))
}

// fade tells of a file once, over restarts too. mu is held.
func (k *placeKeeper) fade(ev audit.PlaceEvidenceStale) {
	name := "stale|" + ev.What + "|" + ev.Digest
	if k.drift[name] != nil || len(k.drift) >= maxDrifts {
		return
	}
	k.drift[name] = &familiar{dirty: true}
	k.queue(ev)
}
