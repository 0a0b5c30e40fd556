// The load: reviews over TLS connections that are kept, every answer compared byte for byte with the one it must be.
//
// Closed loop: each connection sends its next request when it has its answer. Open loop (-rate): requests are due at
// fixed times, whether or not earlier ones are answered, and each is timed from when it was due, so that a server that
// stalls is not spared (what is called coordinated omission). The result is one line of JSON.
package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const patience = 30 * time.Second

var (
	address     = flag.String("address", "", "host and port of the server")
	ca          = flag.String("ca", "", "file with the certificate to trust, PEM")
	bodies      = flag.String("bodies", "", "file with a request body a line")
	answers     = flag.String("answers", "", "file with the answer's body to each, a line each")
	connections = flag.Int("connections", 8, "connections that send")
	requests    = flag.Int("requests", 0, "stop after so many requests")
	duration    = flag.Duration("duration", 0, "stop after so long")
	rate        = flag.Float64("rate", 0, "requests due in a second; 0 is a closed loop")
	dripping    = flag.Int("dripping", 0, "further connections that send one byte of a request a second")
)

type exchange struct{ request, answer []byte }

// result is what one connection saw.
type result struct {
	latencies []time.Duration
	errors    int
	example   string
}

type client struct {
	trust     *tls.Config
	exchanges []exchange
	next      atomic.Int64
	start     time.Time
	paced     chan time.Time // when each request of an open loop is due, said when it is
}

// due gives the next request, and when it was to be sent; false when the load is at its end.
func (c *client) due() (exchange, time.Time, bool) {
	at, more := time.Now(), true
	if *rate > 0 {
		at, more = <-c.paced
	}
	number := c.next.Add(1) - 1
	if *requests > 0 && number >= int64(*requests) || *duration > 0 && at.Sub(c.start) >= *duration {
		more = false
	}
	return c.exchanges[number%int64(len(c.exchanges))], at, more
}

// pace says when requests are due, whether or not there is a connection to send them.
func (c *client) pace() {
	defer close(c.paced)
	for number := 0; *requests <= 0 || number < *requests; number++ {
		at := c.start.Add(time.Duration(float64(number) / *rate * float64(time.Second)))
		if *duration > 0 && at.Sub(c.start) >= *duration {
			return
		}
		// Not time.Sleep, which may be a millisecond late.
		for wait := time.Until(at); wait > 0; wait = time.Until(at) {
			pause := syscall.NsecToTimespec(int64(wait))
			_ = syscall.Nanosleep(&pause, nil)
		}
		c.paced <- at
	}
}

func (c *client) connect() (*tls.Conn, error) {
	return tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", *address, c.trust)
}

func (c *client) send(seen *result) {
	var connection *tls.Conn
	var reader *bufio.Reader
	for {
		next, at, more := c.due()
		if !more {
			break
		}
		err := error(nil)
		if connection == nil {
			if connection, err = c.connect(); err == nil {
				reader = bufio.NewReaderSize(connection, 64<<10)
			}
		}
		if err == nil {
			err = ask(connection, reader, next)
		}
		if err != nil {
			seen.errors++
			seen.example = err.Error()
			if connection != nil {
				connection.Close()
			}
			connection = nil
			time.Sleep(time.Millisecond)
			continue
		}
		seen.latencies = append(seen.latencies, time.Since(at))
	}
	if connection != nil {
		connection.Close()
	}
}

func ask(connection *tls.Conn, reader *bufio.Reader, next exchange) error {
	if err := connection.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := connection.Write(next.request); err != nil {
		return err
	}
	status, err := reader.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 200 ")) {
		return fmt.Errorf("answered %q", bytes.TrimSpace(status))
	}
	length := -1
	for {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		if bytes.EqualFold(name, []byte("content-length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
	if length != len(next.answer) {
		return fmt.Errorf("an answer of %d bytes, not %d", length, len(next.answer))
	}
	body, err := reader.Peek(length)
	if errors.Is(err, bufio.ErrBufferFull) {
		body = make([]byte, length)
		_, err = io.ReadFull(reader, body)
	} else if err == nil {
		defer func() { _, _ = reader.Discard(length) }()
	}
	if err != nil {
		return err
	}
	if !bytes.Equal(body, next.answer) {
		return errors.New("another answer than the one that was right before")
	}
	return nil
}

// drip sends a request byte by byte, and begins anew where the server closes the connection.
func (c *client) drip(stop <-chan struct{}) {
	for {
		connection, err := c.connect()
		for at := 0; err == nil && at < len(c.exchanges[0].request); at++ {
			_, err = connection.Write(c.exchanges[0].request[at : at+1])
			select {
			case <-stop:
				connection.Close()
				return
			case <-time.After(time.Second):
			}
		}
		if connection != nil {
			connection.Close()
		}
		select {
		case <-stop:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func lines(file string) [][]byte {
	text, err := os.ReadFile(file)
	if err != nil {
		log.Fatal(err)
	}
	return bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
}

func load() *client {
	pem, err := os.ReadFile(*ca)
	if err != nil {
		log.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		log.Fatalf("%s: no certificate", *ca)
	}
	asked, right := lines(*bodies), lines(*answers)
	if len(asked) != len(right) {
		log.Fatalf("%d bodies and %d answers", len(asked), len(right))
	}
	// As many may be due and unsent as come in the longest that a server may take.
	waiting := make(chan time.Time, int(*rate*patience.Seconds()))
	made := &client{trust: &tls.Config{RootCAs: pool, ServerName: "localhost"}, paced: waiting}
	for at, body := range asked {
		// The headers that the API server sends.
		head := fmt.Sprintf("POST /mutate?timeout=10s HTTP/1.1\r\nHost: %s\r\nUser-Agent: kube-apiserver-admission\r\n"+
			"Content-Length: %d\r\nAccept: application/json, */*\r\nContent-Type: application/json\r\n"+
			"Accept-Encoding: gzip\r\n\r\n", *address, len(body))
		made.exchanges = append(made.exchanges, exchange{append([]byte(head), body...), right[at]})
	}
	return made
}

func main() {
	log.SetFlags(0)
	flag.Parse()
	if *requests <= 0 && *duration <= 0 {
		log.Fatal("the load has no end: say -requests or -duration")
	}
	c := load()
	stop := make(chan struct{})
	for range *dripping {
		go c.drip(stop)
	}
	results := make([]result, *connections)
	var sending sync.WaitGroup
	c.start = time.Now()
	if *rate > 0 {
		go c.pace()
	}
	for at := range results {
		sending.Go(func() { c.send(&results[at]) })
	}
	sending.Wait()
	seconds := time.Since(c.start).Seconds()
	close(stop)

	var all result
	for _, one := range results {
		all.latencies = append(all.latencies, one.latencies...)
		all.errors += one.errors
		all.example = max(all.example, one.example)
	}
	slices.Sort(all.latencies)
	percentile := func(share float64) float64 {
		if len(all.latencies) == 0 {
			return 0
		}
		return all.latencies[int(share*float64(len(all.latencies)-1))].Seconds()
	}
	_ = json.NewEncoder(os.Stdout).Encode(map[string]any{
		"requests": len(all.latencies),
		"seconds":  seconds,
		"errors":   all.errors,
		"example":  all.example,
		"p50":      percentile(0.50),
		"p99":      percentile(0.99),
		"p999":     percentile(0.999),
		"most":     percentile(1),
	})
}
