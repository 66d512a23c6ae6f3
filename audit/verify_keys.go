package audit

import (
	"errors"
	"slices"

	"github.com/transparency-dev/tessera/api/layout"

	"github.com/cordonsip/cordon/audit/proof"
)

// rotated takes an entry that hands the log over to another key. One that is forged is noted like an entry that is none.
func (w *walk) rotated(seq uint64, ev KeyRotated) {
	if err := w.handedOver(seq, ev); err != nil && w.malformed == nil {
		w.malformed = bad(seq, "%s: %v", KindKeyRotated, err)
	}
}

func (w *walk) handedOver(seq uint64, ev KeyRotated) error {
	h, err := proof.ParseHandover(ev.Handover)
	if err != nil {
		return err
	}
	switch {
	case h.Origin != w.out.Origin:
		return errors.New("the hand-over is of the log " + h.Origin)
	case h.Entry != seq:
		return bad(seq, "the hand-over says that it is entry %d: it was copied from there", h.Entry)
	case proof.KeyID(h.Old) != ev.Old || proof.KeyID(h.New) != ev.New:
		return errors.New("the entry names other keys than the hand-over in it")
	}
	if n := len(w.out.Rotations); n > 0 {
		if err := h.Follows(w.out.Rotations[n-1]); err != nil {
			return err
		}
	}
	w.out.Rotations = append(w.out.Rotations, h)
	return nil
}

// judgeKeys holds the key that signed, and the hand-overs that were given with the keys, against those that stand in the log.
func (w *walk) judgeKeys(k *proof.Keys) error {
	last, just := "", ""
	for _, h := range w.out.Rotations {
		switch id := proof.KeyID(h.New); {
		case h.Entry+1 < w.cp.Size:
			last = id
		case h.Entry+1 == w.cp.Size: // either key signs that tree
			just = id
		}
	}
	if last != "" && w.cp.Signer != last && w.cp.Signer != just {
		return bad(0, "%s: expected the signature of %s, to which the log was handed over, found that of %s", layout.CheckpointPath, last, w.cp.Signer)
	}
	for _, h := range k.Handovers() {
		same := func(in proof.Handover) bool { return in.Raw == h.Raw }
		if h.Entry < w.cp.Size && !slices.ContainsFunc(w.out.Rotations, same) {
			return bad(h.Entry, "expected the hand-over from %s to %s that was given with the keys, found another entry: the hand-over never took place, or is forged",
				proof.KeyID(h.Old), proof.KeyID(h.New))
		}
	}
	return nil
}
