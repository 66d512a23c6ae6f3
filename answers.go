package cordon

import (
	"context"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/healthcheck/resolve"
)

// maxAnswers bounds the entries that wait for the log.
const maxAnswers = 256

// answerLog writes down that the answers of a name moved, beside who noticed: the checker's resolver side may not wait for the log.
type answerLog struct {
	node  *Node
	queue chan audit.AnswersMoved
}

func newAnswerLog(n *Node) *answerLog {
	return &answerLog{node: n, queue: make(chan audit.AnswersMoved, maxAnswers)}
}

// moved never blocks. What finds the queue full is told in the node's own log.
func (a *answerLog) moved(party, host string, before, after []resolve.Located) {
	select {
	case a.queue <- audit.AnswersMoved{Party: party, Host: host, Before: locatedWords(before), After: locatedWords(after)}:
	default:
		a.node.logger.Error("answers of the name servers moved and too many wait for the log", "party", party, "host", host)
	}
}

// Run writes until ctx ends, and then what still waits, for 5 s at most.
func (a *answerLog) Run(ctx context.Context) error {
	for {
		select {
		case ev := <-a.queue:
			a.write(context.WithoutCancel(ctx), ev)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			for {
				select {
				case ev := <-a.queue:
					a.write(last, ev)
				default:
					return nil
				}
			}
		}
	}
}

func (a *answerLog) write(ctx context.Context, ev audit.AnswersMoved) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if _, err := a.node.log.Append(ctx, ev); err != nil {
		a.node.logger.Error("answers of the name servers moved and it could not be logged", "party", ev.Party, "host", ev.Host, "error", err)
	}
}
