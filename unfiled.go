package cordon

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/sovereign"
)

// suspendedBy reads what a log says was suspended, each instrument since its earliest moment, sorted. No entry says that one was given back: that is done by a
// file that is there and does not name it.
func suspendedBy(ctx context.Context, l audit.Log) ([]sovereign.Suspension, error) {
	found := map[string]sovereign.Suspension{}
	note := func(s sovereign.Suspension) {
		if was, ok := found[s.Instrument]; !ok || s.Since.Before(was.Since) {
			found[s.Instrument] = s
		}
	}
	wanted := func(k audit.Kind) bool { return k == audit.KindLawSuspended || k == audit.KindLawInForce }
	for from := uint64(0); from < l.Size(); {
		picked, next, err := audit.Pick(ctx, l, from, scanStep, wanted)
		if err != nil {
			return nil, err
		}
		for _, e := range picked {
			ev, err := audit.Decode(e)
			if err != nil {
				return nil, fmt.Errorf("entry %d: %w", e.Seq, err)
			}
			switch ev := ev.(type) {
			case audit.LawSuspended:
				note(sovereign.Suspension{Instrument: ev.Instrument, Since: ev.Since, Reason: ev.Reason, KeyID: ev.KeyID})
			case audit.LawInForce:
				note(sovereign.Suspension{Instrument: ev.Instrument, Since: ev.Since, Reason: fmt.Sprintf("by entry %d of the log", e.Seq)})
			}
		}
		from = next
	}
	out := make([]sovereign.Suspension, 0, len(found))
	for _, s := range found {
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b sovereign.Suspension) int { return strings.Compare(a.Instrument, b.Instrument) })
	return out, nil
}

// unfiled gives what the log says was suspended, where the suspensions file that is configured is not there: a copy of the log brings none back, and a file that
// is lost gives no instrument back. known: an earlier run wrote down what took effect, so that a node where nothing ever was suspended reads no log. The caller holds mu.
func (k *policyKeeper) unfiled(ctx context.Context, known bool) ([]sovereign.Suspension, error) {
	if k.cfg.Suspensions.File == "" || known && len(k.effects) == 0 {
		return nil, nil
	}
	list, err := suspendedBy(ctx, k.node.log)
	if err != nil {
		return nil, fmt.Errorf("the suspensions file %s is not there, and the log does not say what stood in it: %w", k.cfg.Suspensions.File, err)
	}
	k.lost, k.unknown = words(list), !known
	return list, nil
}

// words names suspensions for people.
func words(list []sovereign.Suspension) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = s.Instrument + " since " + s.Since.UTC().Format(time.RFC3339)
	}
	return out
}

// tellUnfiled says what is suspended by the word of the log alone.
func (k *policyKeeper) tellUnfiled(ctx context.Context) {
	if k.unknown {
		k.remember(ctx) // the next run need not read the log for it
	}
	if len(k.lost) == 0 {
		return
	}
	file := k.cfg.Suspensions.File
	k.node.logger.Error("the suspensions file is not there; what the log says was suspended stays suspended until a start with the file", "file", file, "suspended", k.lost)
	ev := audit.SuspensionRefused{Errors: []string{fmt.Sprintf("%s is not there; by the word of the log stays suspended: %s", file, strings.Join(k.lost, ", "))}}
	if _, err := k.node.log.Append(context.WithoutCancel(ctx), ev); err != nil {
		k.node.logger.Error("a suspensions file that is not there could not be logged", "error", err)
	}
}
