# SPDX-License-Identifier: Apache-2.0
"""Debian's nginx as a backend that speaks TLS; everything of it is in a folder that goes with the
test.

    with nginx.Server(pair, ca) as server:          # ca: of client certificates, which it demands
        server.port
        server.answered()                           # requests, as its access log has them
"""
import os
import shutil
import socket
import tempfile

import sluice

CONF = '''
daemon off;
master_process off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log info;
events {{ worker_connections 1024; }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000;
    server {{
        listen 127.0.0.1:{port} {listen};
        ssl_certificate {crt};
        ssl_certificate_key {key};
        ssl_protocols {protocols};
        {more}
        location / {{
            default_type text/plain;
            return 200 "{body}";
        }}
    }}
}}
'''


TELL = '$ssl_protocol name=$ssl_server_name client=$ssl_client_s_dn host=$http_host\\n'


class Server(sluice.Program):
    """It answers with what it knows of the connection."""

    def __init__(self, pair, ca=None, protocols='TLSv1.2 TLSv1.3', body=TELL, listen='ssl',
                 cpus=None):
        if not os.access('/usr/sbin/nginx', os.X_OK):
            sluice.skip('nginx is not installed')
        self.port = sluice.port()
        self.folder = tempfile.mkdtemp(prefix='sluice-nginx-')
        more = ''
        if ca:
            more = f'ssl_client_certificate {ca.crt}; ssl_verify_client on;'
        path = os.path.join(self.folder, 'conf')
        with open(path, 'w', encoding='utf-8') as f:
            f.write(CONF.format(folder=self.folder, port=self.port, protocols=protocols,
                                more=more, body=body, listen=listen, crt=pair.crt, key=pair.key))
        super().__init__('nginx', ['/usr/sbin/nginx', '-p', self.folder, '-c', path, '-e',
                                   os.path.join(self.folder, 'error.log')], cpus=cpus)
        sluice.eventually(self._listens, 'nginx listens')

    def _listens(self):
        try:
            socket.create_connection(('127.0.0.1', self.port), timeout=1).close()
            return True
        except OSError:
            return False

    def answered(self):
        with open(os.path.join(self.folder, 'access.log'), encoding='utf-8') as f:
            return len(f.readlines())

    def __exit__(self, kind, *rest):
        super().__exit__(kind, *rest)
        shutil.rmtree(self.folder, True)
