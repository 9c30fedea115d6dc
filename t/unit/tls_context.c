/* tls_context: what clients get to see: versions, certificates, protocols, sessions. */
#include "tls_setup.h"

#include "weir/tls_policy.h"

struct client {
	const char *name; /* SNI; NULL: none */
	const char *alpn; /* wire form */
	int version;      /* this one alone; 0: any */
	const char *ciphers;
	SSL_SESSION *session; /* in: to resume; out: what the server gave; owned */
	/* What came of it. */
	bool done, resumed;
	char cn[64], protocol[32];
	int alert; /* fatal alert from the server; 0: none */
};

static int
on_new_session(SSL *ssl, SSL_SESSION *session)
{
	struct client *client = SSL_get_app_data(ssl);

	SSL_SESSION_free(client->session);
	client->session = session;
	return 1;
}

static void
on_info(const SSL *ssl, int type, int value)
{
	struct client *client = SSL_get_app_data(ssl);

	if ((type & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT && value >> 8 == SSL3_AL_FATAL)
		client->alert = value & 0xff;
}

static void
note_result(struct client *client, SSL *ssl)
{
	X509 *cert = SSL_get1_peer_certificate(ssl);
	const unsigned char *alpn;
	unsigned len;

	client->resumed = SSL_session_reused(ssl);
	SSL_get0_alpn_selected(ssl, &alpn, &len);
	snprintf(client->protocol, sizeof(client->protocol), "%.*s", (int)len, (const char *)alpn);
	X509_NAME_get_text_by_NID(
	    X509_get_subject_name(cert), NID_commonName, client->cn, sizeof(client->cn));
	X509_free(cert);
}

static SSL *
client_new(SSL_CTX *ctx, struct client *client)
{
	SSL *ssl;

	SSL_CTX_set_security_level(ctx, 0);
	assert_int_equal(
	    SSL_CTX_set_cipher_list(ctx, client->ciphers ? client->ciphers : "ALL"), 1);
	SSL_CTX_set_min_proto_version(ctx, client->version ? client->version : TLS1_VERSION);
	SSL_CTX_set_max_proto_version(ctx, client->version);
	/* An internal cache would spoil its sessions when the context is freed. */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, on_new_session);
	SSL_CTX_set_info_callback(ctx, on_info);
	ssl = SSL_new(ctx);
	assert_non_null(ssl);
	SSL_set_app_data(ssl, client);
	if (client->name)
		assert_int_equal(SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME,
				     TLSEXT_NAMETYPE_host_name, (void *)(uintptr_t)client->name),
		    1);
	if (client->alpn)
		assert_int_equal(SSL_set_alpn_protos(ssl, (const unsigned char *)client->alpn,
				     (unsigned)strlen(client->alpn)),
		    0);
	if (client->session)
		assert_int_equal(SSL_set_session(ssl, client->session), 1);
	SSL_set_connect_state(ssl);
	return ssl;
}

static void
run(const struct listener_config *listener, struct client *client)
{
	SSL_CTX *client_ctx = SSL_CTX_new(TLS_client_method());
	SSL *c = client_new(client_ctx, client),
	    *s = SSL_new(tls_context_ssl(listener->tls_context));
	BIO *left, *right;
	char byte;

	client->done = client->resumed = false;
	client->alert = 0;
	assert_non_null(s);
	SSL_set_accept_state(s);
	assert_int_equal(BIO_new_bio_pair(&left, 0, &right, 0), 1);
	SSL_set_bio(c, left, left);
	SSL_set_bio(s, right, right);
	for (int turn = 0; turn < 10; turn++) {
		int c_done = SSL_do_handshake(c), s_done = SSL_do_handshake(s);

		client->done = c_done == 1 && s_done == 1;
	}
	if (client->done) {
		note_result(client, c);
		assert_int_equal(SSL_write(s, "x", 1), 1); /* brings the tickets of TLS 1.3 along */
		assert_int_equal(SSL_read(c, &byte, 1), 1);
	}
	SSL_shutdown(c); /* a session of a connection that just ends may not go on */
	SSL_free(c);
	SSL_free(s);
	SSL_CTX_free(client_ctx);
	ERR_clear_error();
}

static void
versions_follow_the_policy(void **state)
{
	static const int versions[] = { TLS1_VERSION, TLS1_1_VERSION, TLS1_2_VERSION,
		TLS1_3_VERSION };
	struct setup setup;

	(void)state;
	for (const char *const *name = tls_policy_names(); *name; name++) {
		const struct tls_policy *policy = tls_policy_find(*name);

		setup_init(&setup, 1, "both");
		setup.listeners[0].tls.policy = *name;
		assert_int_equal(setup_load(&setup), 0);
		for (size_t i = 0; i < 4; i++) {
			struct client client = { .version = versions[i] };
			bool allowed = versions[i] >= policy->min_version &&
				       versions[i] <= policy->max_version;

			run(&setup.listeners[0], &client);
			SSL_SESSION_free(client.session);
			if (client.done != allowed)
				fail_msg("%s: version %x %s", *name, (unsigned)versions[i],
				    client.done ? "accepted" : "refused");
			if (!allowed)
				assert_int_equal(client.alert, SSL_AD_PROTOCOL_VERSION);
		}
		setup_fini(&setup);
	}
}

static void
clients_get_the_kind_of_certificate_they_can_use(void **state)
{
	struct client old = { .version = TLS1_2_VERSION, .ciphers = "ECDHE-RSA-AES128-GCM-SHA256" };
	struct client new = { .version = TLS1_2_VERSION,
		.ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256" };
	struct setup setup;

	(void)state;
	setup_init(&setup, 1, "both");
	assert_int_equal(setup_load(&setup), 0);
	run(&setup.listeners[0], &old);
	run(&setup.listeners[0], &new);
	assert_string_equal(old.cn, "rsa.test");
	assert_string_equal(new.cn, "ec.test");
	SSL_SESSION_free(old.session);
	SSL_SESSION_free(new.session);
	setup_fini(&setup);
}

static void
expect_name(const struct setup *setup, const char *name, const char *cn)
{
	struct client client = { .name = name };

	run(&setup->listeners[0], &client);
	SSL_SESSION_free(client.session);
	assert_true(client.done);
	if (strcmp(client.cn, cn) != 0)
		fail_msg("%s: got %s, not %s", name ? name : "no name", client.cn, cn);
}

static void
names_choose_certificates(void **state)
{
	enum { MANY = 5000 };
	struct server_name_config *names;
	struct setup setup;

	(void)state;
	setup_init(&setup, 1, "rsa");
	names = arena_array(setup.config.arena, MANY, sizeof(*names));
	for (size_t i = 0; i < MANY; i++) {
		names[i].name = arena_printf(setup.config.arena, "n%zu.many.test", i);
		names[i].certificate = i % 2 ? "ec" : "both";
	}
	names[1].name = "exact.test";
	names[3].name = "*.wild.test";
	names[4].name = "x.wild.test";
	setup.listeners[0].tls.server_names = names;
	setup.listeners[0].tls.server_name_count = MANY;
	assert_int_equal(setup_load(&setup), 0);
	expect_name(&setup, NULL, "rsa.test");
	expect_name(&setup, "exact.test", "ec.test");
	expect_name(&setup, "EXACT.Test", "ec.test");
	expect_name(&setup, "sub.exact.test", "rsa.test");
	expect_name(&setup, "a.wild.test", "ec.test");
	expect_name(&setup, "a.b.wild.test", "rsa.test");
	expect_name(&setup, "wild.test", "rsa.test");
	expect_name(&setup, ".wild.test", "rsa.test");
	expect_name(&setup, "n4999.many.test", "ec.test");
	expect_name(&setup, "unknown.test", "rsa.test");
	expect_name(&setup, "*.wild.test", "rsa.test");
	expect_name(&setup, "exact.test/", "rsa.test");
	expect_name(&setup, "exact.test\n", "rsa.test");
	expect_name(&setup, "\xff\xfe", "rsa.test");
	expect_name(&setup, ".", "rsa.test");
	setup_fini(&setup);
}

static void
listeners_share_contexts(void **state)
{
	struct setup setup;

	(void)state;
	setup_init(&setup, 4, "rsa");
	setup.listeners[2].tls.policy = "modern";
	setup.listeners[3].protocol = PROTOCOL_TCP;
	assert_int_equal(setup_load(&setup), 0);
	assert_ptr_equal(tls_context_ssl(setup.listeners[0].tls_context),
	    tls_context_ssl(setup.listeners[1].tls_context));
	assert_ptr_not_equal(tls_context_ssl(setup.listeners[0].tls_context),
	    tls_context_ssl(setup.listeners[2].tls_context));
	assert_null(setup.listeners[3].tls_context);
	setup_fini(&setup);
}

static void
expect_alpn(const struct setup *setup, struct client client, const char *protocol)
{
	run(&setup->listeners[0], &client);
	SSL_SESSION_free(client.session);
	if (protocol) {
		assert_true(client.done);
		assert_string_equal(client.protocol, protocol);
	} else {
		assert_false(client.done);
		assert_int_equal(client.alert, SSL_AD_NO_APPLICATION_PROTOCOL);
	}
}

static void
alpn_follows_the_listener(void **state)
{
	const char *protocols[] = { "h2", "http/1.1" };
	struct setup setup;

	(void)state;
	setup_init(&setup, 1, "rsa");
	setup.listeners[0].tls.policy = "tls-1-0-with-1-3";
	setup.listeners[0].tls.alpn = protocols;
	setup.listeners[0].tls.alpn_count = 2;
	assert_int_equal(setup_load(&setup), 0);
	expect_alpn(&setup, (struct client){ 0 }, "");
	expect_alpn(&setup, (struct client){ .alpn = "\x08http/1.1\x02h2" }, "h2");
	expect_alpn(&setup, (struct client){ .alpn = "\x08http/1.1" }, "http/1.1");
	expect_alpn(&setup, (struct client){ .alpn = "\x04spdy" }, NULL);
	/* RFC 9113 §9.2.2: not every suite carries HTTP/2 */
	expect_alpn(&setup,
	    (struct client){ .alpn = "\x02h2\x08http/1.1",
		.version = TLS1_2_VERSION,
		.ciphers = "ECDHE-RSA-AES128-GCM-SHA256" },
	    "h2");
	expect_alpn(&setup,
	    (struct client){ .alpn = "\x02h2\x08http/1.1",
		.version = TLS1_2_VERSION,
		.ciphers = "ECDHE-RSA-AES128-SHA" },
	    "http/1.1");
	expect_alpn(&setup,
	    (struct client){ .alpn = "\x02h2\x08http/1.1",
		.version = TLS1_2_VERSION,
		.ciphers = "AES128-GCM-SHA256" },
	    "http/1.1");
	expect_alpn(&setup, (struct client){ .alpn = "\x02h2", .version = TLS1_1_VERSION }, NULL);
	setup_fini(&setup);
}

static void
alpn_of_a_tcp_stream_is_the_clients_business(void **state)
{
	const char *protocols[] = { "http/1.1" };
	struct setup setup;

	(void)state;
	setup_init(&setup, 2, "rsa");
	for (size_t i = 0; i < 2; i++) {
		setup.listeners[i].tls.alpn = protocols;
		setup.listeners[i].tls.alpn_count = 1;
	}
	setup.listeners[0].protocol = PROTOCOL_TLS;
	assert_int_equal(setup_load(&setup), 0);
	expect_alpn(&setup, (struct client){ .alpn = "\x04mqtt" }, "");
	expect_alpn(&setup, (struct client){ .alpn = "\x04mqtt\x08http/1.1" }, "http/1.1");
	assert_ptr_not_equal(tls_context_ssl(setup.listeners[0].tls_context),
	    tls_context_ssl(setup.listeners[1].tls_context));
	setup_fini(&setup);
}

/* The first connection to one listener, a second with its session to another: does it go on? */
static bool
resumes(const struct listener_config *first, const struct listener_config *second, int version,
    const char *name)
{
	struct client client = { .name = name, .version = version };

	run(first, &client);
	assert_true(client.done);
	assert_false(client.resumed);
	assert_non_null(client.session);
	run(second, &client);
	assert_true(client.done);
	SSL_SESSION_free(client.session);
	return client.resumed;
}

static void
sessions_go_on_where_they_may(void **state)
{
	struct server_name_config names[] = { { .name = "ec.test", .certificate = "ec" } };
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
	struct setup setup, reloaded;

	(void)state;
	setup_init(&setup, 3, "rsa");
	setup.listeners[1].tls.server_names = names;
	setup.listeners[1].tls.server_name_count = 1;
	setup.listeners[2].tls.policy = "old";
	assert_int_equal(setup_load(&setup), 0);
	setup_init(&reloaded, 2, "rsa");
	reloaded.listeners[1].tls.certificate = "ec";
	assert_int_equal(setup_load(&reloaded), 0);
	for (size_t i = 0; i < 2; i++) {
		const struct listener_config *plain = &setup.listeners[0],
					     *named = &setup.listeners[1];
		int version = versions[i];

		assert_true(resumes(plain, plain, version, "x.test"));
		assert_true(resumes(plain, named, version, "x.test"));
		assert_true(resumes(named, named, version, "ec.test"));
		assert_true(resumes(plain, &reloaded.listeners[0], version, "x.test"));
		assert_false(resumes(plain, named, version, "ec.test"));
		assert_false(resumes(plain, &setup.listeners[2], version, "x.test"));
		assert_false(resumes(plain, &reloaded.listeners[1], version, "x.test"));
	}
	setup_fini(&setup);
	setup_fini(&reloaded);
}

static void
contexts_outlive_the_unload_while_used(void **state)
{
	struct setup setup;
	SSL *ssl;

	(void)state;
	setup_init(&setup, 1, "rsa");
	assert_int_equal(setup_load(&setup), 0);
	ssl = SSL_new(tls_context_ssl(setup.listeners[0].tls_context));
	tls_unload(&setup.config);
	tls_unload(&setup.config);
	assert_null(setup.listeners[0].tls_context);
	SSL_free(ssl);
	setup_fini(&setup);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(versions_follow_the_policy),
		cmocka_unit_test(clients_get_the_kind_of_certificate_they_can_use),
		cmocka_unit_test(names_choose_certificates),
		cmocka_unit_test(listeners_share_contexts),
		cmocka_unit_test(alpn_follows_the_listener),
		cmocka_unit_test(alpn_of_a_tcp_stream_is_the_clients_business),
		cmocka_unit_test(sessions_go_on_where_they_may),
		cmocka_unit_test(contexts_outlive_the_unload_while_used),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, make_all, remove_all);
}
