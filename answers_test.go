package cordon

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
)

// What a name server's answers did is written by an owner that the stop of the node waits for, and what waits for it is bounded.
func TestMovedAnswersAreWrittenBeforeTheNodeStops(t *testing.T) {
	inHouse(t, 500*24*time.Hour, false, func(h *house) {
		for i := range 2 * maxAnswers {
			h.node.answers.moved("carrier", fmt.Sprint("sip", i, ".example"), nil, nil)
		}
		synctest.Wait()
		if n := len(h.events(audit.KindAnswersMoved)); n != 0 {
			t.Errorf("%d entries were written by nobody that is waited for", n)
		}
		h.node.run("answers", h.node.answers.Run)
		if err := h.node.stages[0].end(); err != nil {
			t.Fatal(err)
		}
		if n := len(h.events(audit.KindAnswersMoved)); n != maxAnswers {
			t.Errorf("%d entries, want %d", n, maxAnswers)
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := h.node.answers.Run(ctx); err != nil {
			t.Error(err)
		}
	})
}
