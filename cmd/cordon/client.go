package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/cordonsip/cordon/admin"
)

// api is how commands reach a running node.
type api struct {
	API   string `help:"Address of the node's HTTP interface." env:"CORDON_API" default:"http://127.0.0.1:8480"`
	Token string `help:"File with the bearer token; else the variable CORDON_TOKEN." type:"existingfile"`
	Roots string `help:"PEM roots of the interface's certificate." type:"existingfile"`
}

func (a api) token() (string, error) {
	if a.Token == "" {
		if t := os.Getenv("CORDON_TOKEN"); t != "" {
			return t, nil
		}
		return "", withHint(errors.New("no token"), "export CORDON_TOKEN=..., or name a file with --token")
	}
	b, err := os.ReadFile(a.Token)
	if err != nil {
		return "", err
	}
	t, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimSpace(t), nil
}

// do sends one request and reads a JSON answer into out (nil: none is wanted).
func (a api) do(ctx context.Context, method, path string, in, out any) error {
	data, err := a.fetch(ctx, method, path, in)
	if err != nil || out == nil {
		return err
	}
	return json.Unmarshal(data, out)
}

// fetch sends one request and gives the answer's body.
func (a api) fetch(ctx context.Context, method, path string, in any) ([]byte, error) {
	if err := a.sealed(); err != nil {
		return nil, err
	}
	token, err := a.token()
	if err != nil {
		return nil, err
	}
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(a.API, "/")+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	client, err := a.client()
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(path, incidentsPath+"/") {
		client.Timeout = 10 * time.Minute // it reads the log of a whole outage
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, withHint(err, "is the node running, and is "+a.API+" its address? Name another with --api")
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	if err != nil {
		return nil, err
	}
	if res.StatusCode < 200 || res.StatusCode > 299 { // a redirect is not followed, and has done nothing
		return nil, problem(res.StatusCode, data)
	}
	return data, nil
}

// sealed refuses to send a token in clear to another host.
func (a api) sealed() error {
	u, err := url.Parse(a.API)
	if err != nil {
		return err
	}
	if u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname()) {
		return nil
	}
	return withHint(fmt.Errorf("%s: a token goes over plain HTTP to a loopback address alone", a.API), "use https://, with --roots for a certificate of your own; or a tunnel to the node's loopback address")
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// client never follows a redirect: the token must not travel.
func (a api) client() (*http.Client, error) {
	tr := &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	if !strings.HasPrefix(a.API, "https:") {
		dialer := &net.Dialer{Control: loopbackAlone}
		tr.DialContext = dialer.DialContext
	}
	if a.Roots != "" {
		pem, err := os.ReadFile(a.Roots)
		if err != nil {
			return nil, err
		}
		tr.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !tr.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("no certificate in %s", a.Roots)
		}
	}
	return &http.Client{
		Transport: tr, Timeout: time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// loopbackAlone looks at the address after its name was resolved: a localhost that lies gets no token.
func loopbackAlone(_, addr string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return err
	}
	if !ap.Addr().Unmap().IsLoopback() {
		return fmt.Errorf("%s is no loopback address", ap.Addr())
	}
	return nil
}

func problem(status int, data []byte) error {
	var p admin.Problem
	if json.Unmarshal(data, &p) != nil || p.Title == "" {
		return fmt.Errorf("the node answered %d", status)
	}
	text := p.Title
	if p.Detail != "" {
		text += ": " + p.Detail
	}
	if p.ErrorID != "" {
		text += " (" + p.ErrorID + ")"
	}
	err := errors.New(text)
	if p.Hint != "" {
		return withHint(err, p.Hint)
	}
	return err
}
