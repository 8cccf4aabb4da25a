/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/config/dns.h"

#include "lib/log.h"

#include <event2/dns.h>

static void on_dns_log(int is_warning, const char *text) {
    (void)is_warning; /* what fails is told by name, once */
    log_debug("resolve", "%s", text);
}

struct evdns_base *dns_new(struct event_base *base, const char *nameserver) {
    evdns_set_log_fn(on_dns_log);
    struct evdns_base *dns = evdns_base_new(base, 0);
    must(dns);
    int what = DNS_OPTION_SEARCH | DNS_OPTION_MISC | DNS_OPTION_HOSTSFILE;
    evdns_base_resolv_conf_parse(dns, nameserver ? what : what | DNS_OPTION_NAMESERVERS,
                                 "/etc/resolv.conf");
    if (nameserver && evdns_base_nameserver_ip_add(dns, nameserver) != 0)
        log_error("resolve", "cannot ask this server address=%s", nameserver);
    if (evdns_base_count_nameservers(dns) == 0) {
        log_error("resolve", "there is no DNS server in /etc/resolv.conf; 127.0.0.1 is asked");
        evdns_base_nameserver_ip_add(dns, "127.0.0.1");
    }
    evdns_base_set_option(dns, "timeout:", "2");
    evdns_base_set_option(dns, "attempts:", "3");
    /* A server counts as gone, and is asked for a name of the library's choice, as late as can be.
     */
    evdns_base_set_option(dns, "max-timeouts:", "255");
    return dns;
}
