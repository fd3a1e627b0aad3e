package feishusim

import (
	"bufio"
	"crypto/sha1" //nolint:gosec // RFC 6455, section 1.3
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// The opcodes of RFC 6455, section 5.2.
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA
)

// maxSocketMessage is how much one message may hold.
const maxSocketMessage = 1 << 20

// socket is the server's side of a WebSocket as RFC 6455 wants it, without
// extensions and subprotocols, which Feishu's clients do not ask for either.
type socket struct {
	conn net.Conn
	in   *bufio.Reader
	mu   sync.Mutex // held while a frame is written
}

// errNoUpgrade is a request that is no handshake of RFC 6455, section 4.2.1.
var errNoUpgrade = errors.New("not a WebSocket handshake")

// upgrade answers a handshake. Nothing was answered if it fails with errNoUpgrade.
func upgrade(w http.ResponseWriter, r *http.Request) (*socket, error) {
	has := func(name, token string) bool {
		for _, value := range r.Header.Values(name) {
			for part := range strings.SplitSeq(value, ",") {
				if strings.EqualFold(strings.TrimSpace(part), token) {
					return true
				}
			}
		}
		return false
	}
	key := r.Header.Get("Sec-WebSocket-Key")
	nonce, err := base64.StdEncoding.DecodeString(key)
	if r.Method != http.MethodGet || !has("Upgrade", "websocket") || !has("Connection", "upgrade") ||
		r.Header.Get("Sec-WebSocket-Version") != "13" || err != nil || len(nonce) != 16 {
		return nil, errNoUpgrade
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, fmt.Errorf("take over the connection: %w", err)
	}
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // see above
	_, err = fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(sum[:]))
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &socket{conn: conn, in: buffered.Reader}, nil
}

// read gives the next binary message; pings are answered on the way. Any error
// is the connection's end.
func (s *socket) read() ([]byte, error) {
	var message []byte
	begun := false
	for {
		opcode, last, payload, err := s.readFrame()
		if err != nil {
			return nil, err
		}
		switch {
		case opcode == opPing:
			if err := s.write(opPong, payload); err != nil {
				return nil, err
			}
			continue
		case opcode == opPong:
			continue
		case opcode == opClose:
			_ = s.write(opClose, payload[:min(len(payload), 2)])
			return nil, io.EOF
		case opcode == opBinary && !begun, opcode == opContinuation && begun:
		default:
			return nil, fmt.Errorf("a frame with opcode %#x is not expected", opcode)
		}
		begun = true
		if message = append(message, payload...); len(message) > maxSocketMessage {
			return nil, errors.New("the message is too long")
		}
		if last {
			return message, nil
		}
	}
}

// readFrame reads one frame, which has to be masked (RFC 6455, section 5.1).
func (s *socket) readFrame() (opcode byte, last bool, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(s.in, head[:]); err != nil {
		return 0, false, nil, err
	}
	opcode, last = head[0]&0xF, head[0]&0x80 != 0
	size := uint64(head[1] & 0x7F)
	switch {
	case head[0]&0x70 != 0:
		return 0, false, nil, errors.New("a frame has reserved bits")
	case head[1]&0x80 == 0:
		return 0, false, nil, errors.New("a client's frame is not masked")
	case opcode >= opClose && (!last || size > 125):
		return 0, false, nil, errors.New("a control frame is fragmented or long")
	}
	var long [8]byte
	switch size {
	case 126:
		_, err = io.ReadFull(s.in, long[6:])
		size = binary.BigEndian.Uint64(long[:])
	case 127:
		_, err = io.ReadFull(s.in, long[:])
		size = binary.BigEndian.Uint64(long[:])
	}
	if err != nil || size > maxSocketMessage {
		return 0, false, nil, errors.Join(err, fmt.Errorf("a frame of %d bytes", size))
	}
	var mask [4]byte
	if _, err := io.ReadFull(s.in, mask[:]); err != nil {
		return 0, false, nil, err
	}
	payload = make([]byte, size)
	if _, err := io.ReadFull(s.in, payload); err != nil {
		return 0, false, nil, err
	}
	for i := range payload {
		payload[i] ^= mask[i%4]
	}
	return opcode, last, payload, nil
}

// write sends one frame, unmasked as a server's are. It waits a second at most.
func (s *socket) write(opcode byte, payload []byte) error {
	frame := []byte{0x80 | opcode}
	switch n := len(payload); {
	case n < 126:
		frame = append(frame, byte(n))
	case n < 1<<16:
		frame = binary.BigEndian.AppendUint16(append(frame, 126), uint16(n))
	default:
		frame = binary.BigEndian.AppendUint64(append(frame, 127), uint64(n))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.conn.SetWriteDeadline(time.Now().Add(time.Second))
	_, err := s.conn.Write(append(frame, payload...))
	return err
}

// cut ends the connection without a word.
func (s *socket) cut() {
	if tcp, ok := s.conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // a reset
	}
	_ = s.conn.Close()
}
