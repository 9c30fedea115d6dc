#include "weir/websocket.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

enum { NONCE_LEN = 16, DIGEST_LEN = 20 };

int
websocket_new_key(char key[static WEBSOCKET_KEY_SIZE])
{
	unsigned char nonce[NONCE_LEN];

	if (RAND_bytes(nonce, NONCE_LEN) != 1)
		return -1;
	EVP_EncodeBlock((unsigned char *)key, nonce, NONCE_LEN);
	return 0;
}

int
websocket_accept(struct slice key, char accept[static WEBSOCKET_ACCEPT_SIZE])
{
	static const struct slice guid = SLICE("258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
	char text[WEBSOCKET_KEY_SIZE + 36];
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (key.len + guid.len > sizeof(text))
		return -1;
	memcpy(text, key.ptr, key.len);
	memcpy(text + key.len, guid.ptr, guid.len);
	if (EVP_Digest(text, key.len + guid.len, digest, &len, EVP_sha1(), NULL) != 1 ||
	    len != DIGEST_LEN)
		return -1;
	EVP_EncodeBlock((unsigned char *)accept, digest, DIGEST_LEN);
	return 0;
}

static bool
offers_websocket(struct slice protocols)
{
	struct slice protocol;

	while (list_next(&protocols, &protocol))
		if (slice_equal_nocase(protocol, SLICE("websocket")))
			return true;
	return false;
}

bool
websocket_is_asked(const struct message *request)
{
	unsigned keys = 0;
	bool is_offered = false;

	if (!request->upgrade || request->method != METHOD_GET)
		return false;
	for (unsigned i = 0; i < request->field_count; i++) {
		const struct field *f = &request->fields[i];

		if (f->id == FIELD_UPGRADE)
			is_offered = is_offered || offers_websocket(message_value(request, f));
		else if (f->id == FIELD_OTHER &&
			 slice_equal_nocase(message_name(request, f), WEBSOCKET_KEY))
			keys += f->value_len == WEBSOCKET_KEY_SIZE - 1 ? 1 : 2;
	}
	return is_offered && keys == 1;
}
