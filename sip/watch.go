package sip

import "context"

// Draining says whether new calls are refused because the edge is about to stop.
func (e *Edge) Draining() bool { return e.draining.Load() }

// Pending counts the calls and transactions that are alive on all loops: at rest it is 0. It asks each loop and waits for the answer.
func (e *Edge) Pending(ctx context.Context) (calls, transactions int) {
	type count struct{ calls, tx int }
	answers := make(chan count, len(e.shards))
	for _, s := range e.shards {
		s.loop.Post(func() {
			clients, servers := s.tx.Len()
			answers <- count{len(s.calls), clients + servers}
		})
	}
	for range e.shards {
		select {
		case n := <-answers:
			calls, transactions = calls+n.calls, transactions+n.tx
		case <-ctx.Done():
			return calls, transactions
		}
	}
	return calls, transactions
}
