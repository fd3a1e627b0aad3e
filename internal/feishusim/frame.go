package feishusim

import (
	"encoding/binary"
	"errors"
)

// What goes over the long connection is protobuf, pbbp2.Frame of proto2:
//
//	message Header {
//	  required string key = 1;
//	  required string value = 2;
//	}
//	message Frame {
//	  required uint64 SeqID = 1;
//	  required uint64 LogID = 2;
//	  required int32 service = 3;
//	  required int32 method = 4;
//	  repeated Header headers = 5;
//	  optional string payload_encoding = 6;
//	  optional string payload_type = 7;
//	  optional bytes payload = 8;
//	  optional string LogIDNew = 9;
//	}
//
// Source: ws/pbbp2.pb.go of github.com/larksuite/oapi-sdk-go/v3, which comes from
// pbbp2.proto; how it looks on the wire: https://protobuf.dev/programming-guides/encoding/.
type frame struct {
	seqID, logID    uint64
	service, method int32
	headers         []frameHeader
	payload         []byte
}

type frameHeader struct{ key, value string }

// The methods of a frame. Source: FrameType in ws/const.go of the SDK.
const (
	methodControl = 0 // pings and pongs
	methodData    = 1 // events and callbacks, and the answers to them
)

// header is the first of that name; "": there is none.
func (f frame) header(key string) string {
	for _, h := range f.headers {
		if h.key == key {
			return h.value
		}
	}
	return ""
}

// The wire types that the frame has.
const (
	wireVarint = 0
	wireBytes  = 2
)

func (f frame) encode() []byte {
	number := func(b []byte, field byte, v uint64) []byte {
		return binary.AppendUvarint(append(b, field<<3|wireVarint), v)
	}
	text := func(b []byte, field byte, v []byte) []byte {
		b = binary.AppendUvarint(append(b, field<<3|wireBytes), uint64(len(v)))
		return append(b, v...)
	}
	b := number(nil, 1, f.seqID)
	b = number(b, 2, f.logID)
	b = number(b, 3, uint64(f.service)) //nolint:gosec // negative ones are sign-extended, as protobuf wants it
	b = number(b, 4, uint64(f.method))  //nolint:gosec // likewise
	for _, h := range f.headers {
		b = text(b, 5, text(text(nil, 1, []byte(h.key)), 2, []byte(h.value)))
	}
	return text(b, 8, f.payload)
}

// decodeFrame refuses what lacks a required field, or holds another than the known.
func decodeFrame(b []byte) (frame, error) {
	var f frame
	seen := map[uint64]bool{}
	err := fields(b, func(field, number uint64, text []byte) error {
		seen[field] = true
		switch field {
		case 1:
			f.seqID = number
		case 2:
			f.logID = number
		case 3:
			f.service = int32(number) //nolint:gosec // as protobuf cuts it
		case 4:
			f.method = int32(number) //nolint:gosec // likewise
		case 5:
			h, err := decodeHeader(text)
			f.headers = append(f.headers, h)
			return err
		case 8:
			f.payload = text
		case 6, 7, 9:
		default:
			return errors.New("an unknown field")
		}
		return nil
	})
	if err == nil && (!seen[1] || !seen[2] || !seen[3] || !seen[4]) {
		err = errors.New("a frame without SeqID, LogID, service or method")
	}
	return f, err
}

func decodeHeader(b []byte) (frameHeader, error) {
	var h frameHeader
	seen := map[uint64]bool{}
	err := fields(b, func(field, _ uint64, text []byte) error {
		seen[field] = true
		switch field {
		case 1:
			h.key = string(text)
		case 2:
			h.value = string(text)
		}
		return nil
	})
	if err == nil && (!seen[1] || !seen[2]) {
		err = errors.New("a header without key or value")
	}
	return h, err
}

// fields hands every field to take, as a number or as text.
func fields(b []byte, take func(field, number uint64, text []byte) error) error {
	varint := func() (uint64, bool) {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return 0, false
		}
		b = b[n:]
		return v, true
	}
	for len(b) > 0 {
		tag, ok := varint()
		if !ok {
			return errors.New("a broken tag")
		}
		v, ok := varint()
		if !ok {
			return errors.New("a broken number")
		}
		var text []byte
		switch tag & 7 {
		case wireVarint:
		case wireBytes:
			if v > uint64(len(b)) {
				return errors.New("a field is longer than the message")
			}
			text, b = b[:v], b[v:]
		default:
			return errors.New("a field of an unknown wire type")
		}
		if err := take(tag>>3, v, text); err != nil {
			return err
		}
	}
	return nil
}
