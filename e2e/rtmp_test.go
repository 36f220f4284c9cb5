package e2e

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net"
	"time"
)

// rtmpTag is a message of a stream: audio (8), video (9) or metadata (18).
type rtmpTag struct {
	kind byte
	at   time.Duration
	body []byte
}

// pushRTMP publishes a stream in real time, as an encoder does, until all is sent. It knows
// as much of Adobe's RTMP specification 1.0 as that takes. ffmpeg's own publisher sends
// what it has muxed, and has no word of enhanced RTMP before version 6.1.
func pushRTMP(ctx context.Context, address, app, name string, tags []rtmpTag) error {
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := handshake(c); err != nil {
		return fmt.Errorf("shake hands: %w", err)
	}
	go io.Copy(io.Discard, c) // what the server answers; it takes what comes
	const command, chunkSize = 20, 1
	send := func(kind byte, stream uint32, at time.Duration, body []byte) error {
		_, err := c.Write(message(kind, stream, uint32(at.Milliseconds()), body))
		return err
	}
	for _, m := range []struct {
		kind   byte
		stream uint32
		body   []byte
	}{
		{chunkSize, 0, binary.BigEndian.AppendUint32(nil, 1<<20)},
		{command, 0, amf("connect", 1.0, map[string]any{"app": app, "tcUrl": "rtmp://" + address + "/" + app})},
		{command, 0, amf("createStream", 2.0, nil)},
		{command, 1, amf("publish", 3.0, nil, name, "live")},
	} {
		if err := send(m.kind, m.stream, 0, m.body); err != nil {
			return err
		}
	}
	began := time.Now()
	for _, tag := range tags {
		select {
		case <-time.After(time.Until(began.Add(tag.at))): // an encoder has no sooner what to send
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := send(tag.kind, 1, tag.at, tag.body); err != nil {
			return err
		}
	}
	return send(command, 1, 0, amf("deleteStream", 4.0, nil, 1.0))
}

func handshake(c net.Conn) error {
	const size = 1536
	hello := make([]byte, 1+size)
	hello[0] = 3
	if _, err := c.Write(hello); err != nil {
		return err
	}
	answer := make([]byte, 1+2*size)
	if _, err := io.ReadFull(c, answer); err != nil {
		return err
	}
	_, err := c.Write(answer[1 : 1+size])
	return err
}

// message is one chunk with a full header (5.3.1.2.1), of a size that holds all.
func message(kind byte, stream, at uint32, body []byte) []byte {
	b := []byte{4, byte(at >> 16), byte(at >> 8), byte(at), byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body)), kind}
	if kind == 1 {
		b[0] = 2
	}
	return append(binary.LittleEndian.AppendUint32(b, stream), body...)
}

// amf writes values as AMF 0.
func amf(values ...any) []byte {
	var b bytes.Buffer
	for _, v := range values {
		switch v := v.(type) {
		case string:
			b.Write(append([]byte{2, byte(len(v) >> 8), byte(len(v))}, v...))
		case float64:
			b.Write(binary.BigEndian.AppendUint64([]byte{0}, math.Float64bits(v)))
		case map[string]any:
			b.WriteByte(3)
			for key, value := range v {
				b.Write(append([]byte{byte(len(key) >> 8), byte(len(key))}, key...))
				b.Write(amf(value))
			}
			b.Write([]byte{0, 0, 9})
		default:
			b.WriteByte(5)
		}
	}
	return b.Bytes()
}
