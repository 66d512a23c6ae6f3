package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os/signal"
	"syscall"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"
)

// relay is a record-routing proxy on sipgo's server and client API, the least that a proxy needs: it forwards every call to one place. It serves until a signal.
func relay(listen, to string) error {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	at, err := netip.ParseAddrPort(listen)
	if err != nil {
		return err
	}
	sip.SetDefaultLogger(slog.New(slog.DiscardHandler))
	ua, err := sipgo.NewUA()
	if err != nil {
		return err
	}
	defer ua.Close()
	server, err := sipgo.NewServer(ua)
	if err != nil {
		return err
	}
	client, err := sipgo.NewClient(ua, sipgo.WithClientHostname(at.Addr().String()), sipgo.WithClientPort(int(at.Port())))
	if err != nil {
		return err
	}
	f := &forwarder{client: client, to: to, ctx: ctx}
	server.OnInvite(f.request)
	server.OnBye(f.request)
	server.OnInfo(f.request)
	server.OnAck(f.ack)
	if err := server.ListenAndServe(ctx, "udp", listen); err != nil && ctx.Err() == nil {
		return fmt.Errorf("sipgo relay: %w", err)
	}
	return nil
}

// forwarder sends requests on and their responses back.
type forwarder struct {
	client *sipgo.Client
	to     string
	ctx    context.Context
}

func (f *forwarder) aim(req *sip.Request) {
	req.RemoveHeader("Route") // it names this proxy, and there is one place to go to
	req.SetDestination(f.to)
}

func (f *forwarder) request(req *sip.Request, tx sip.ServerTransaction) {
	if req.IsInvite() {
		_ = tx.Respond(sip.NewResponseFromRequest(req, 100, "Trying", nil))
	}
	f.aim(req)
	options := []sipgo.ClientRequestOption{sipgo.ClientRequestAddVia, sipgo.ClientRequestDecreaseMaxForward}
	if req.IsInvite() {
		options = append(options, sipgo.ClientRequestAddRecordRoute)
	}
	source := req.Source()
	out, err := f.client.TransactionRequest(f.ctx, req, options...)
	if err != nil {
		_ = tx.Respond(sip.NewResponseFromRequest(req, 500, "", nil))
		return
	}
	defer out.Terminate()
	for {
		select {
		case res, ok := <-out.Responses():
			if !ok {
				return
			}
			if res.StatusCode == 100 {
				continue
			}
			res.SetDestination(source)
			res.RemoveHeader("Via")
			if tx.Respond(res) != nil || !res.IsProvisional() {
				return
			}
		case <-out.Done():
			return
		case <-tx.Done():
			return
		}
	}
}

func (f *forwarder) ack(req *sip.Request, _ sip.ServerTransaction) {
	f.aim(req)
	_ = f.client.WriteRequest(req, sipgo.ClientRequestAddVia) // an ACK that is lost is asked for again by the 200
}
